"""Retention: who came back on day N (or on any later day, "rolling") after the first exposure.

A proportion over *mature* units only: those whose window has closed by the time of the analysis.
Counting younger ones as not retained would compare an arm's newcomers with another's veterans.
Everybody exposed counts, with or without any event.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from experiments.stats.exact import RegimeComparison, compare_by_regime
from experiments.stats.results import Alternative, BoolArray, FloatArray

DAY = 86_400_000_000  # microseconds


@dataclass(frozen=True, slots=True)
class Retention:
    """Per unit: whether its window has closed, and whether it came back in it (False if not mature)."""

    mature: BoolArray
    retained: BoolArray


@dataclass(frozen=True, slots=True)
class RetentionCounts:
    """Per arm: mature units and those retained, arrays of shape (arms,)."""

    retained: FloatArray
    mature: FloatArray


def retention(
    first_at: ArrayLike,
    event_unit: ArrayLike,
    event_at: ArrayLike,
    *,
    day: int,
    as_of: int,
    days: int = 1,
    rolling: bool = False,
) -> Retention:
    """Who was active in the window that opens N days after the first exposure.

    `first_at` (n,) and `event_at` (m,) are µs since the epoch, `event_unit` (m,) the place of the
    event's unit in `first_at`. The window is [first + N, first + N + `days`) days; `rolling` leaves
    its end open up to `as_of` (then a unit is mature once the first of these days has passed).
    Raises ValueError for a day below 1, for windows without length and for unknown units.

    >>> result = retention([0, 0, 6 * DAY], [0, 1], [7 * DAY, 2 * DAY], day=7, as_of=9 * DAY)
    >>> result.mature.tolist(), result.retained.tolist()
    ([True, True, False], [True, False, False])
    """
    if day < 1 or days < 1:
        raise ValueError(f"day and days must be at least 1, got {day} and {days}")
    first = np.asarray(first_at, dtype=np.int64)
    unit, at = np.asarray(event_unit, dtype=np.int64), np.asarray(event_at, dtype=np.int64)
    if unit.shape != at.shape or (unit.size and (unit.min() < 0 or unit.max() >= first.size)):
        raise ValueError("each event needs a unit among the exposed")
    opens = first + day * DAY
    closes = opens + days * DAY
    mature = closes <= as_of
    until = np.full(first.shape, as_of) if rolling else closes
    inside = (at >= opens[unit]) & (at < until[unit]) if unit.size else np.zeros(0, dtype=np.bool_)
    retained = np.zeros(first.shape, dtype=np.bool_)
    retained[unit[inside]] = True
    return Retention(mature, retained & mature)


def count_retained(result: Retention, arms: ArrayLike, n_arms: int) -> RetentionCounts:
    """Mature and retained units per arm; `arms` (n,) holds arm numbers in [0, n_arms).

    >>> result = Retention(np.array([True, True, False]), np.array([True, False, False]))
    >>> count_retained(result, [0, 1, 1], 2).mature.tolist()
    [1.0, 1.0]
    """
    labels: NDArray[Any] = np.asarray(arms)
    return RetentionCounts(
        retained=np.bincount(labels[result.retained], minlength=n_arms).astype(np.float64),
        mature=np.bincount(labels[result.mature], minlength=n_arms).astype(np.float64),
    )


def compare_retention(
    counts: RetentionCounts,
    *,
    control: int = 0,
    alpha: float = 0.05,
    alternative: Alternative = Alternative.TWO_SIDED,
) -> RegimeComparison:
    """Every arm but control against it, as proportions (exact where events are few); shape (arms − 1,).

    >>> counts = RetentionCounts(np.array([200.0, 260.0]), np.array([1000.0, 1000.0]))
    >>> round(compare_retention(counts).comparison.at(0).effect, 6)
    0.06
    """
    others = np.arange(counts.mature.size) != control
    return compare_by_regime(
        counts.retained[control],
        counts.mature[control],
        counts.retained[others],
        counts.mature[others],
        alpha=alpha,
        alternative=alternative,
    )
