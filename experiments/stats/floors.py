"""Floors: the looks at which sequential inference is refused because counts are too small.

Confidence sequences stand on a normal estimate with a known error. With few events in the smaller
arm the estimate and its error move together (an arm that happens to hold few conversions also looks
precise), and the guarantee fails: without floors 18 % of healthy experiments "win" at a base rate
of 0.2 % with a 10 % control, 40 % with a 5 % control.

The floors were derived by simulation with the planned size put where it hurts most (the grid and
the error rates are in docs/statistics.md; `manage.py calibrate` measures them again). For
proportions, 25 conversions in the smaller arm hold at every control share from 50 to 1 %. For
means, log-normal values of sigma up to 1.5 among 1 % buyers were the hard case: how many non-zero
values are needed depends on the smaller arm's share and on the scale. On the log ratio less is
needed, because the ratio's error grows where a mean happens to be small.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike

from experiments.stats.results import Alternative, BoolArray, FloatArray
from experiments.stats.sequential import Scale


class FloorKind(StrEnum):
    """What an event is: a converted unit, or a unit with a value other than 0."""

    PROPORTION = "proportion"
    MEAN = "mean"


# Conversions in the smaller arm.
PROPORTION_FLOOR = 25

# Non-zero values in the smaller arm: (lowest share of the smaller arm, floor), by scale. The shares
# sit a little under 40, 20 and 10 % so that chance does not push a design into the next row.
MEAN_FLOORS: dict[Scale, tuple[tuple[float, int], ...]] = {
    Scale.ABSOLUTE: ((0.38, 100), (0.18, 150), (0.09, 600), (0.0, 1_000)),
    Scale.LOG_RATIO: ((0.38, 100), (0.18, 150), (0.09, 300), (0.0, 500)),
}
# A one-sided test puts all its error on the side where skewness does the harm.
ONE_SIDED_MEAN_FLOORS: dict[Scale, tuple[tuple[float, int], ...]] = {
    Scale.ABSOLUTE: ((0.38, 150), (0.18, 400), (0.09, 1_200), (0.0, 1_500)),
    Scale.LOG_RATIO: ((0.38, 150), (0.18, 300), (0.09, 800), (0.0, 1_000)),
}

# A group-sequential design spends exactly alpha and leaves no room for a poor approximation. Means
# of skewed values in unequal arms stop too often at any affordable size (6.8 % at 4,000 non-zero
# values a look), so it is refused for them: use the confidence sequence, or cap the values.
GROUP_PROPORTION_FLOORS: tuple[tuple[float, float], ...] = ((0.38, 25), (0.0, 200))
GROUP_MEAN_FLOORS: tuple[tuple[float, float], ...] = ((0.38, 100), (0.0, math.inf))


@dataclass(frozen=True, slots=True)
class FloorCheck:
    """Per look: events in the arm that has fewer, how many are needed, and whether to refuse.

    Of a proportion, non-conversions are the events where they are the rarer outcome.
    """

    events: FloatArray
    needed: FloatArray
    refused: BoolArray


def needed_events(
    kind: FloorKind,
    smaller_share: ArrayLike,
    *,
    scale: Scale = Scale.ABSOLUTE,
    alternative: Alternative = Alternative.TWO_SIDED,
    is_group_sequential: bool = False,
) -> FloatArray:
    """Events that the arm with fewer of them must hold; `smaller_share` is in (0, 0.5].

    Source: own simulation, docs/statistics.md, "Floors".

    >>> needed_events(FloorKind.PROPORTION, 0.05)
    array(25.)
    >>> needed_events(FloorKind.MEAN, [0.5, 0.1, 0.01])
    array([ 100.,  600., 1000.])
    """
    share = np.asarray(smaller_share, dtype=np.float64)
    rows = _rows(kind, scale, alternative, is_group_sequential=is_group_sequential)
    return np.select([share >= lowest for lowest, _ in rows], [float(floor) for _, floor in rows])


def check_floor(
    kind: FloorKind,
    events_control: ArrayLike,
    events_treatment: ArrayLike,
    n_control: ArrayLike,
    n_treatment: ArrayLike,
    *,
    scale: Scale = Scale.ABSOLUTE,
    alternative: Alternative = Alternative.TWO_SIDED,
    is_group_sequential: bool = False,
) -> FloorCheck:
    """Which looks to refuse; pass `.refused` to the sequential tests. All arguments broadcast.

    `events_*` are conversions (proportion; non-conversions count where they are rarer) or units with
    a non-zero value (mean, ratio's numerator).

    >>> check = check_floor(FloorKind.PROPORTION, [12, 30], [130, 280], [500, 1_000], [4_500, 9_000])
    >>> check.refused.tolist(), check.events.tolist(), check.needed.tolist()
    ([True, False], [12.0, 30.0], [25.0, 25.0])
    """
    control, treatment, units_c, units_t = np.broadcast_arrays(
        np.asarray(events_control, dtype=np.float64),
        np.asarray(events_treatment, dtype=np.float64),
        np.asarray(n_control, dtype=np.float64),
        np.asarray(n_treatment, dtype=np.float64),
    )
    total = units_c + units_t
    share = np.divide(np.minimum(units_c, units_t), total, out=np.zeros_like(total), where=total > 0)
    events = np.minimum(control, treatment)
    if kind is FloorKind.PROPORTION:
        # A rate of 99 % is as hard as one of 1 %: the rarer outcome counts.
        events = np.minimum(events, np.minimum(units_c - control, units_t - treatment))
    needed = needed_events(kind, share, scale=scale, alternative=alternative, is_group_sequential=is_group_sequential)
    needed = np.broadcast_to(needed, events.shape)
    return FloorCheck(events, needed, np.asarray(~(events >= needed), dtype=np.bool_))


def _rows(
    kind: FloorKind, scale: Scale, alternative: Alternative, *, is_group_sequential: bool
) -> Sequence[tuple[float, float]]:
    if kind is FloorKind.PROPORTION:
        return GROUP_PROPORTION_FLOORS if is_group_sequential else ((0.0, PROPORTION_FLOOR),)
    if is_group_sequential:
        return GROUP_MEAN_FLOORS
    return (MEAN_FLOORS if alternative is Alternative.TWO_SIDED else ONE_SIDED_MEAN_FLOORS)[scale]
