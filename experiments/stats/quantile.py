"""Difference and ratio of quantiles (median revenue, 90th percentile of load time).

The error of a quantile comes from two order statistics around it: the interval of level 1 − alpha
for the rank, n(ν ± z √(ν(1−ν)/n)), read back on the value scale and divided by 2z. Where several
observations belong to one unit (events per person), the rank's variance is inflated by the cluster
factor: the delta-method variance of I = 1{Y ≤ q} per unit over ν(1−ν)/n.

A warehouse may keep the order statistics for a grid sample size n*, rescaled by n*/n.
`experiments.stats.rows.quantile_summary` makes the summary from values.

Sources: A. Deng, U. Knoblich, J. Lu, KDD 2018, section 4.2; Y. Yao, S. Li, J. Lu, "Large-scale
metric computation in online controlled experiment platform", arXiv 2401.14549.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from experiments.stats.aggregates import Aggregates, Column
from experiments.stats.estimates import Estimate, LiftMethod, check_alpha, compare
from experiments.stats.ratio import ratio_estimate
from experiments.stats.results import Alternative, Comparison, FloatArray, Reason


@dataclass(frozen=True, slots=True)
class QuantileSummary:
    """What one arm's quantile needs, arrays of one shape.

    `value` is the quantile at `quantile` in (0, 1); `lower` and `upper` are the order statistics at
    `level` for a sample of `n_star` observations (`n` unless a grid was used); `n` counts
    observations; `cluster_factor` is 1 where each unit gives one observation.
    """

    value: FloatArray
    lower: FloatArray
    upper: FloatArray
    n: FloatArray
    n_star: FloatArray
    cluster_factor: FloatArray
    quantile: float
    level: float = 0.95


def summarize(
    value: ArrayLike,
    lower: ArrayLike,
    upper: ArrayLike,
    n: ArrayLike,
    *,
    quantile: float,
    n_star: ArrayLike | None = None,
    cluster_factor: ArrayLike = 1.0,
    level: float = 0.95,
) -> QuantileSummary:
    """A summary from numbers made elsewhere. Raises ValueError for a quantile or level outside (0, 1).

    >>> summarize(7.1, 6.8, 7.4, 11_000, quantile=0.9).n_star
    array(11000.)
    """
    check_quantile(quantile)
    check_alpha(level, "level")
    arrays = np.broadcast_arrays(
        *(
            np.asarray(a, dtype=np.float64)
            for a in (value, lower, upper, n, n if n_star is None else n_star, cluster_factor)
        )
    )
    return QuantileSummary(
        value=arrays[0],
        lower=arrays[1],
        upper=arrays[2],
        n=arrays[3],
        n_star=arrays[4],
        cluster_factor=arrays[5],
        quantile=quantile,
        level=level,
    )


def check_quantile(quantile: float) -> None:
    """Raise ValueError unless the quantile lies in (0, 1).

    >>> check_quantile(0.0)
    Traceback (most recent call last):
        ...
    ValueError: quantile must be in (0, 1), got 0.0
    """
    if not 0 < quantile < 1:
        raise ValueError(f"quantile must be in (0, 1), got {quantile}")


def fewest_observations(quantile: float, level: float = 0.95) -> float:
    """Observations below which the order statistics fall off the sample: z² max(ν/(1−ν), (1−ν)/ν).

    >>> round(fewest_observations(0.9), 2)
    34.57
    """
    check_quantile(quantile)
    odds = quantile / (1 - quantile)
    z = float(special.ndtri((1 + level) / 2))
    return z * z * max(odds, 1 / odds)


def cluster_factor(units: Aggregates, *, quantile: float, below: Column = 0, observations: Column = 1) -> FloatArray:
    """How much larger the rank's variance is than if observations were independent.

    `units` aggregates per unit the number of observations at or below the arm's quantile (`below`)
    and the number of observations. NaN below two units.

    >>> from experiments.stats.aggregates import aggregate
    >>> cells = aggregate({"below": [2.0, 0.0, 2.0, 0.0], "all": [2.0, 2.0, 2.0, 2.0]})
    >>> round(float(cluster_factor(cells, quantile=0.5)), 6)
    2.666667
    """
    check_quantile(quantile)
    observed = units.mean(observations) * units.n
    share = ratio_estimate(units, below, observations)
    return np.asarray(share.variance / (quantile * (1 - quantile) / observed))


def quantile_estimate(summary: QuantileSummary) -> Estimate:
    """The quantile with its variance, (n − 1) / n · n*/n · ((upper − lower) / 2z)² · cluster factor.

    TOO_FEW_UNITS below `fewest_observations`. Degrees of freedom are n − 1.

    >>> round(float(quantile_estimate(summarize(7.1, 6.8, 7.4, 11_000, quantile=0.9)).standard_error), 6)
    0.153057
    """
    z = float(special.ndtri((1 + summary.level) / 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = (summary.upper - summary.lower) / (2 * z)
        scale = (summary.n_star / summary.n) * ((summary.n - 1) / summary.n)
        variance = np.square(spread) * scale * summary.cluster_factor
    few = ~(summary.n > fewest_observations(summary.quantile, summary.level))
    reasons = np.where(few, np.int8(Reason.TOO_FEW_UNITS), np.int8(0))
    return Estimate(summary.value, variance, summary.n - 1, reasons=reasons)


def compare_quantiles(
    control: QuantileSummary,
    treatment: QuantileSummary,
    *,
    alpha: float = 0.05,
    alternative: Alternative = Alternative.TWO_SIDED,
    lift_method: LiftMethod = LiftMethod.LOG_RATIO,
) -> Comparison:
    """Compare one quantile between arms. Raises ValueError if the quantiles differ.

    >>> control = summarize(7.1, 6.8, 7.4, 11_000, quantile=0.9)
    >>> treatment = summarize(7.6, 7.2, 8.0, 11_500, quantile=0.9)
    >>> round(compare_quantiles(control, treatment).at().p_value, 6)
    0.050003
    """
    if control.quantile != treatment.quantile:
        raise ValueError(f"quantiles must be equal, got {control.quantile} and {treatment.quantile}")
    return compare(
        quantile_estimate(control),
        quantile_estimate(treatment),
        alpha=alpha,
        alternative=alternative,
        lift_method=lift_method,
        method="quantile",
    )
