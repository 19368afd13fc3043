"""Ratio of two per-unit means (revenue per order, clicks per session) by the delta method.

The unit of randomization stays the unit of analysis: numerator and denominator are aggregated per
unit, and the ratio's variance per unit is (s_N² − 2 r s_ND + r² s_D²) / d².

Source: A. Deng, U. Knoblich, J. Lu, "Applying the delta method in metric analytics", KDD 2018,
equation 2; the same as the linearization of R. Budylin et al., WSDM 2018.
"""

from __future__ import annotations

import numpy as np

from experiments.stats.aggregates import Aggregates, Column
from experiments.stats.estimates import Estimate, LiftMethod, compare
from experiments.stats.mean import enough_units
from experiments.stats.results import Alternative, Comparison, FloatArray, Reason


def ratio_value(aggregates: Aggregates, numerator: Column = 0, denominator: Column = 1) -> FloatArray:
    """The ratio of the sums; NaN where the denominator is zero.

    >>> from experiments.stats.aggregates import aggregate
    >>> float(ratio_value(aggregate({"clicks": [1.0, 2.0], "views": [4.0, 8.0]})))
    0.25
    """
    below = aggregates.mean(denominator)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below == 0, np.nan, aggregates.mean(numerator) / below)


def ratio_estimate(aggregates: Aggregates, numerator: Column = 0, denominator: Column = 1) -> Estimate:
    """The ratio with its delta-method variance and n − 1 degrees of freedom; batch shape.

    ZERO_DENOMINATOR where the denominator's mean is zero, TOO_FEW_UNITS below two units.

    >>> from experiments.stats.aggregates import aggregate
    >>> result = ratio_estimate(aggregate({"m": [1.0, 2.0, 4.0], "d": [2.0, 3.0, 5.0]}))
    >>> round(float(result.value), 6), round(float(result.standard_error), 6)
    (0.7, 0.079373)
    """
    r = ratio_value(aggregates, numerator, denominator)
    below, n = aggregates.mean(denominator), aggregates.n
    with np.errstate(divide="ignore", invalid="ignore"):
        residual = (
            aggregates.variance(numerator)
            - 2 * r * aggregates.covariance(numerator, denominator)
            + r * r * aggregates.variance(denominator)
        )
        # a numerator proportional to its denominator leaves the rounding of the sums, which is no variance
        noise = 2 * (aggregates.rounding(numerator) + r * r * aggregates.rounding(denominator))
        variance = np.where(residual <= noise, 0.0, residual) / np.square(below) / n
    few = enough_units(aggregates)
    zero = (few == 0) & (below == 0)
    return Estimate(r, variance, n - 1, reasons=np.where(zero, np.int8(Reason.ZERO_DENOMINATOR), few))


def compare_ratios(
    control: Aggregates,
    treatment: Aggregates,
    *,
    numerator: Column = 0,
    denominator: Column = 1,
    alpha: float = 0.05,
    alternative: Alternative = Alternative.TWO_SIDED,
    lift_method: LiftMethod = LiftMethod.LOG_RATIO,
) -> Comparison:
    """Compare ratios of two columns, Welch's degrees of freedom; batches broadcast.

    >>> from experiments.stats.aggregates import aggregate
    >>> data = {"m": [1.0, 2.0, 4.0, 2.0, 3.0, 5.0], "d": [2.0, 3.0, 5.0, 2.0, 4.0, 5.0]}
    >>> cells = aggregate(data, groups=[0, 0, 0, 1, 1, 1])
    >>> result = compare_ratios(cells[0], cells[1]).at()
    >>> round(result.effect, 6), round(result.lift, 6)
    (0.209091, 0.298701)
    """
    return compare(
        ratio_estimate(control, numerator, denominator),
        ratio_estimate(treatment, numerator, denominator),
        alpha=alpha,
        alternative=alternative,
        lift_method=lift_method,
        method="ratio-delta",
    )
