"""Counts per unit (orders, sessions) and rates of rare events.

People differ, so counts per person vary more than a Poisson law allows: the default is Welch's test
on the per-unit counts, which needs no law. `dispersion` says how far from Poisson they are.
`compare_rates` is the exact conditional test of two Poisson rates, for totals with known exposure
(complaints per million messages) where dispersion is about one.

Sources: J. Przyborowski, H. Wilenski, "Homogeneity of results in testing samples from Poisson
series", Biometrika 31 (1940); H. O. Lancaster, "Significance tests in discrete distributions",
JASA 56 (1961), for the mid-p; C. J. Clopper, E. S. Pearson, Biometrika 26 (1934).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from experiments.stats.aggregates import Aggregates, Column
from experiments.stats.estimates import LiftMethod, check_alpha
from experiments.stats.mean import compare_means
from experiments.stats.results import (
    Alternative,
    Comparison,
    FloatArray,
    Interval,
    Reason,
    ReasonArray,
    first_reason,
)
from experiments.stats.roots import bisect


def compare_counts(
    control: Aggregates,
    treatment: Aggregates,
    *,
    column: Column = 0,
    alpha: float = 0.05,
    alternative: Alternative = Alternative.TWO_SIDED,
    lift_method: LiftMethod = LiftMethod.LOG_RATIO,
) -> Comparison:
    """Compare mean counts per unit by Welch's test, robust to overdispersion.

    >>> from experiments.stats.aggregates import aggregate
    >>> cells = aggregate({"orders": [0, 1, 2, 1, 2, 6]}, groups=[0, 0, 0, 1, 1, 1])
    >>> compare_counts(cells[0], cells[1]).at().effect
    2.0
    """
    return compare_means(
        control, treatment, column=column, alpha=alpha, alternative=alternative, lift_method=lift_method
    )


def dispersion(aggregates: Aggregates, column: Column = 0) -> FloatArray:
    """Variance over mean of a count per unit: 1 for Poisson, above it overdispersed; NaN if no event.

    >>> from experiments.stats.aggregates import aggregate
    >>> round(float(dispersion(aggregate({"orders": [0, 0, 3]}))), 6)
    3.0
    """
    mean = aggregates.mean(column)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(mean > 0, aggregates.variance(column) / mean, np.nan)


@dataclass(frozen=True, slots=True)
class RateComparison:
    """Two Poisson rates: the ratio treatment / control with the mid-p test and interval.

    `lift` is the ratio − 1 (NaN with a reason where the control has no event); `lift_ci` may then
    still have a finite lower bound and an infinite upper one.
    """

    lift: FloatArray
    lift_ci: Interval
    p_value: FloatArray
    reasons: ReasonArray


def compare_rates(
    events_control: ArrayLike,
    exposure_control: ArrayLike,
    events_treatment: ArrayLike,
    exposure_treatment: ArrayLike,
    *,
    alpha: float = 0.05,
    alternative: Alternative = Alternative.TWO_SIDED,
) -> RateComparison:
    """Exact conditional comparison of two Poisson rates, mid-p, with the interval of the same test.

    Given the total, treatment's events are binomial with probability ρE_T / (E_C + ρE_T), ρ the
    rate ratio. The two-sided p doubles the smaller one-sided mid-p (central). Raises ValueError for
    negative events or exposure not positive and finite; no event at all gives TOO_FEW_EVENTS.

    >>> result = compare_rates(10, 1000.0, 25, 1000.0)
    >>> float(result.lift), round(float(result.p_value), 6)
    (1.5, 0.011331)
    >>> round(float(result.lift_ci.lower), 6), round(float(result.lift_ci.upper), 6)
    (0.219941, 4.444547)
    """
    check_alpha(alpha)
    x_c, e_c, x_t, e_t = np.broadcast_arrays(
        *(np.asarray(a, np.float64) for a in (events_control, exposure_control, events_treatment, exposure_treatment))
    )
    if (x_c < 0).any() or (x_t < 0).any() or not ((e_c > 0) & (e_t > 0) & np.isfinite(e_c + e_t)).all():
        raise ValueError("events must not be negative and exposure must be positive and finite")
    share = e_t / (e_c + e_t)
    p_value = _mid_p(x_t, x_c + x_t, share, alternative)
    tail = alpha / 2 if alternative == Alternative.TWO_SIDED else alpha
    zero, one = np.zeros(x_t.shape), np.ones(x_t.shape)
    low = bisect(lambda q: tail - _upper_mid(x_t, x_c + x_t, q), zero, one)
    high = bisect(lambda q: _upper_mid(x_c, x_c + x_t, 1 - q) - tail, zero, one)
    low, high = np.where(x_t == 0, 0.0, low), np.where(x_c == 0, 1.0, high)
    with np.errstate(divide="ignore", invalid="ignore"):
        lift = (x_t / e_t) / (x_c / e_c) - 1
        lower, upper = low / (1 - low) * e_c / e_t - 1, high / (1 - high) * e_c / e_t - 1
    empty = x_c + x_t == 0
    reasons = first_reason(
        [
            (~np.isfinite(x_c + x_t), Reason.NOT_FINITE),
            (empty, Reason.TOO_FEW_EVENTS),
            (x_c == 0, Reason.NO_CONTROL_VALUE),
        ],
        x_t.shape,
    )
    undefined = (reasons != 0) & (reasons != Reason.NO_CONTROL_VALUE)
    if alternative == Alternative.GREATER:
        upper = np.full(upper.shape, np.inf)
    elif alternative == Alternative.LESS:
        lower = np.full(lower.shape, -np.inf)
    return RateComparison(
        lift=np.where(reasons == 0, lift, np.nan),
        lift_ci=Interval(
            np.where(undefined, np.nan, lower),
            np.where(undefined, np.nan, upper),
            1 - alpha,
            method="conditional mid-p",
        ),
        p_value=np.where(undefined, np.nan, p_value),
        reasons=reasons,
    )


def _upper_mid(x: FloatArray, n: FloatArray, share: FloatArray) -> FloatArray:
    """P(X > x) + P(X = x) / 2 for a binomial X, both tails kept by the incomplete beta function."""
    above = special.betainc(x + 1, np.maximum(n - x, 1e-300), share)
    from_x = special.betainc(np.maximum(x, 1e-300), n - x + 1, share)
    return np.asarray(0.5 * (np.where(x >= n, 0.0, above) + np.where(x <= 0, 1.0, from_x)))


def _mid_p(x: FloatArray, n: FloatArray, share: FloatArray, alternative: Alternative) -> FloatArray:
    greater = _upper_mid(x, n, share)
    less = _upper_mid(n - x, n, 1 - share)
    if alternative == Alternative.GREATER:
        return greater
    if alternative == Alternative.LESS:
        return less
    return np.asarray(np.minimum(1.0, 2 * np.minimum(greater, less)))
