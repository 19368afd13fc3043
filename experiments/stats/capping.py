"""Capping (winsorizing): one enormous order must not decide an experiment.

The cap is one number for all arms, given as a value or as a percentile of all arms together: a cap
per arm would move with the effect and bias it. The uncapped comparison always stands beside it.

Source: R. Kohavi, D. Tang, Y. Xu, "Trustworthy online controlled experiments" (2020), chapter 22;
J. W. Tukey, "The future of data analysis", Annals of Mathematical Statistics 33 (1962).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from experiments.stats.aggregates import aggregate, choose_shift
from experiments.stats.estimates import LiftMethod
from experiments.stats.mean import compare_means
from experiments.stats.results import Alternative, Comparison, FloatArray


@dataclass(frozen=True, slots=True)
class Cap:
    """Bounds for a metric; infinite where a side is open."""

    lower: float = -np.inf
    upper: float = np.inf

    def __post_init__(self) -> None:
        if not self.lower <= self.upper:
            raise ValueError(f"lower must not exceed upper, got {self.lower} and {self.upper}")

    def apply(self, values: ArrayLike) -> FloatArray:
        """The values moved inside the bounds.

        >>> Cap(upper=10.0).apply([1.0, 50.0]).tolist()
        [1.0, 10.0]
        """
        return np.clip(np.asarray(values, dtype=np.float64), self.lower, self.upper)


@dataclass(frozen=True, slots=True)
class CappedComparison:
    """Both comparisons, the cap, and the share of units that it moved, per arm (control first)."""

    uncapped: Comparison
    capped: Comparison
    cap: Cap
    moved: tuple[float, ...]


def percentile_cap(
    values: ArrayLike, *, lower: float | None = None, upper: float | None = None, ignore_zeros: bool = False
) -> Cap:
    """A cap from percentiles (in [0, 100]) of the values of all arms together.

    With `ignore_zeros` the percentile is one of the units with a value, since where 1 % buy the
    99th percentile of everybody is 0. Raises ValueError for percentiles out of range or if nothing
    is left to take them from.

    >>> percentile_cap([0.0, 1.0, 2.0, 3.0, 100.0], upper=75)
    Cap(lower=-inf, upper=3.0)
    """
    pool = np.asarray(values, dtype=np.float64).ravel()
    if ignore_zeros:
        pool = pool[pool != 0]
    if np.isnan(pool).any():
        raise ValueError("values must not be NaN: exclude or fill what is missing before capping")
    if not pool.size:
        raise ValueError("percentiles need at least one value")
    bounds = [None if q is None else _percentile(pool, q) for q in (lower, upper)]
    return Cap(-np.inf if bounds[0] is None else bounds[0], np.inf if bounds[1] is None else bounds[1])


def compare_capped(
    control: ArrayLike,
    treatment: ArrayLike,
    cap: Cap,
    *,
    alpha: float = 0.05,
    alternative: Alternative = Alternative.TWO_SIDED,
    lift_method: LiftMethod = LiftMethod.LOG_RATIO,
) -> CappedComparison:
    """Compare means of per-unit values without and with the cap.

    >>> result = compare_capped([0, 1, 2, 3], [1, 2, 3, 500], Cap(upper=10.0))
    >>> result.uncapped.at().effect, result.capped.at().effect, result.moved
    (125.0, 2.5, (0.0, 0.25))
    """
    arms = [np.asarray(a, dtype=np.float64) for a in (control, treatment)]
    bounded = [cap.apply(a) for a in arms]
    moved = tuple(float(np.mean(b != a)) if a.size else 0.0 for a, b in zip(arms, bounded, strict=True))
    results = [
        _compare(pair, alpha=alpha, alternative=alternative, lift_method=lift_method) for pair in (arms, bounded)
    ]
    return CappedComparison(results[0], results[1], cap, moved)


def _compare(
    pair: Sequence[FloatArray], *, alpha: float, alternative: Alternative, lift_method: LiftMethod
) -> Comparison:
    values = np.concatenate(pair)
    groups = np.repeat([0, 1], [pair[0].size, pair[1].size])
    cells = aggregate({"y": values}, groups=groups, n_groups=2, shift=choose_shift(values))
    return compare_means(cells[0], cells[1], alpha=alpha, alternative=alternative, lift_method=lift_method)


def _percentile(pool: FloatArray, q: float) -> float:
    if not 0 <= q <= 100:
        raise ValueError(f"percentiles must be in [0, 100], got {q}")
    return float(np.percentile(pool, q))
