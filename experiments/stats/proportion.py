"""Difference and ratio of two proportions: Wald by default, score intervals beside it.

The variance is the binomial p(1 − p), unpooled, with normal quantiles. Where an arm has fewer than
25 events use `experiments.stats.exact`, which `exact.needs_exact` decides.

The score intervals and their sources are in `experiments.stats.score`.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from experiments.stats.aggregates import Aggregates, Column
from experiments.stats.estimates import Estimate, LiftMethod, compare
from experiments.stats.results import Alternative, Comparison, FloatArray, Reason
from experiments.stats.score import Counts, miettinen_nurminen, newcombe

MIN_UNITS = 1


class ProportionInterval(StrEnum):
    """How the absolute interval (and its p-value) of two proportions is built."""

    WALD = "wald"
    NEWCOMBE = "newcombe"
    MIETTINEN_NURMINEN = "miettinen-nurminen"


def proportion_estimate(successes: ArrayLike, n: ArrayLike) -> Estimate:
    """A proportion with variance p(1 − p) / n and a normal test.

    >>> float(proportion_estimate(10, 100).value), round(float(proportion_estimate(10, 100).variance), 6)
    (0.1, 0.0009)
    """
    size = np.asarray(n, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.asarray(np.asarray(successes, dtype=np.float64) / size)
        variance = p * (1 - p) / size
    reasons = np.where(size < MIN_UNITS, np.int8(Reason.TOO_FEW_UNITS), np.int8(0))
    reasons = np.where(np.isfinite(size) & ~((size >= MIN_UNITS) & np.isnan(p)), reasons, np.int8(Reason.NOT_FINITE))
    return Estimate(p, variance, np.full(p.shape, np.inf), reasons=reasons)


def compare_proportions(
    successes_control: ArrayLike,
    n_control: ArrayLike,
    successes_treatment: ArrayLike,
    n_treatment: ArrayLike,
    *,
    alpha: float = 0.05,
    alternative: Alternative = Alternative.TWO_SIDED,
    interval: ProportionInterval = ProportionInterval.WALD,
    lift_method: LiftMethod = LiftMethod.LOG_RATIO,
    pooled: bool = False,
    continuity: bool = False,
    use_t: bool = False,
) -> Comparison:
    """Compare proportions given as counts, arrays of any common shape.

    `interval` replaces the absolute interval and its p-value by Newcombe's hybrid score or by
    Miettinen–Nurminen's score method (the lift keeps its log-ratio test). For comparison with other
    engines: `pooled` variance, `continuity` correction (½(1/n_C + 1/n_T), Wald only), Student's t at
    Welch's degrees of freedom (`use_t`). Raises ValueError for impossible counts.

    >>> result = compare_proportions(1000, 10_000, 1080, 10_000).at()
    >>> round(result.effect, 6), round(result.p_value, 6), round(result.lift, 6)
    (0.008, 0.063842, 0.08)
    """
    counts = Counts.of(successes_control, n_control, successes_treatment, n_treatment)
    c = proportion_estimate(counts.successes_control, counts.n_control)
    t = proportion_estimate(counts.successes_treatment, counts.n_treatment)
    log_variance = None
    if use_t:
        c, t = replace(c, df=counts.n_control - 1), replace(t, df=counts.n_treatment - 1)
    if pooled:
        c, t, log_variance = _pool(counts, c, t)
    slack = 0.5 / counts.n_control + 0.5 / counts.n_treatment if continuity else 0.0
    result = compare(
        c,
        t,
        alpha=alpha,
        alternative=alternative,
        lift_method=lift_method,
        correction=slack,
        log_ratio_variance=log_variance,
        method=_method(pooled=pooled, continuity=continuity, use_t=use_t),
    )
    if interval == ProportionInterval.WALD:
        return result
    score = newcombe if interval == ProportionInterval.NEWCOMBE else miettinen_nurminen
    found = score(counts, alpha=alpha, alternative=alternative)
    usable = (c.reasons == 0) & (t.reasons == 0)
    reasons = np.where(usable, np.int8(0), result.reasons)
    return replace(result, effect_ci=found.interval, p_value=found.p_value, method=str(interval), reasons=reasons)


def compare_proportion_aggregates(
    control: Aggregates,
    treatment: Aggregates,
    *,
    column: Column = 0,
    alpha: float = 0.05,
    alternative: Alternative = Alternative.TWO_SIDED,
    interval: ProportionInterval = ProportionInterval.WALD,
    lift_method: LiftMethod = LiftMethod.LOG_RATIO,
) -> Comparison:
    """`compare_proportions` of a 0/1 column of aggregates.

    >>> from experiments.stats.aggregates import aggregate
    >>> cells = aggregate({"y": [0, 1, 1, 1]}, groups=[0, 0, 1, 1])
    >>> float(compare_proportion_aggregates(cells[0], cells[1]).effect)
    0.5
    """
    n_c, n_t = control.n, treatment.n
    return compare_proportions(
        np.where(n_c > 0, control.mean(column) * n_c, 0.0),
        n_c,
        np.where(n_t > 0, treatment.mean(column) * n_t, 0.0),
        n_t,
        alpha=alpha,
        alternative=alternative,
        interval=interval,
        lift_method=lift_method,
    )


def contingency_p_value(
    successes_control: ArrayLike,
    n_control: ArrayLike,
    successes_treatment: ArrayLike,
    n_treatment: ArrayLike,
    *,
    log_likelihood: bool = False,
    continuity: bool = False,
) -> FloatArray:
    """Two-sided p-value of Pearson's chi-square or the log-likelihood (G) test of a 2 × 2 table.

    `continuity` is Yates' correction. NaN where a margin is empty.

    >>> round(float(contingency_p_value(20, 100, 33, 110)), 6)
    0.09568
    """
    counts = Counts.of(successes_control, n_control, successes_treatment, n_treatment)
    n = counts.n_control + counts.n_treatment
    x = counts.successes_control + counts.successes_treatment
    with np.errstate(divide="ignore", invalid="ignore"):
        observed = np.stack(
            [
                counts.successes_control,
                counts.n_control - counts.successes_control,
                counts.successes_treatment,
                counts.n_treatment - counts.successes_treatment,
            ]
        )
        expected = np.stack(
            [
                counts.n_control * x / n,
                counts.n_control * (n - x) / n,
                counts.n_treatment * x / n,
                counts.n_treatment * (n - x) / n,
            ]
        )
        if continuity:
            gap = expected - observed
            observed = observed + np.sign(gap) * np.minimum(0.5, np.abs(gap))
        if log_likelihood:
            statistic = 2 * special.xlogy(observed, observed / expected).sum(axis=0)
        else:
            statistic = (np.square(observed - expected) / expected).sum(axis=0)
    return np.asarray(special.chdtrc(1, np.maximum(statistic, 0.0) + 0 * expected.sum(axis=0)))


def _pool(counts: Counts, c: Estimate, t: Estimate) -> tuple[Estimate, Estimate, FloatArray]:
    """Both arms with the variance of the pooled rate, and the pooled log-ratio variance."""
    with np.errstate(divide="ignore", invalid="ignore"):
        p = (counts.successes_control + counts.successes_treatment) / (counts.n_control + counts.n_treatment)
        variance_c, variance_t = p * (1 - p) / counts.n_control, p * (1 - p) / counts.n_treatment
        log_variance = np.asarray((variance_c + variance_t) / np.square(p))
    return replace(c, variance=variance_c), replace(t, variance=variance_t), log_variance


def _method(*, pooled: bool, continuity: bool, use_t: bool) -> str:
    name = ("pooled-" if pooled else "") + ("t" if use_t else "wald")
    return f"{name}-corrected" if continuity else name
