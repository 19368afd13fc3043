"""Difference and ratio of two proportions: Wald by default, score intervals beside it.

The variance is the binomial p(1 − p), unpooled, with normal quantiles. Where an arm has fewer than
25 events use `experiments.stats.exact`, which `exact.needs_exact` decides.

Sources: R. G. Newcombe, "Interval estimation for the difference between independent proportions:
comparison of eleven methods", Statistics in Medicine 17 (1998), method 10; O. Miettinen, M. Nurminen,
"Comparative analysis of two rates", Statistics in Medicine 4 (1985), equations 3–10 and 14;
E. B. Wilson, JASA 22 (1927).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from experiments.stats.aggregates import Aggregates, Column
from experiments.stats.estimates import Estimate, LiftMethod, check_alpha, compare, critical_value, tail_probability
from experiments.stats.results import Alternative, BoolArray, Comparison, FloatArray, Interval, Reason
from experiments.stats.roots import bisect

MIN_UNITS = 1


class ProportionInterval(StrEnum):
    """How the absolute interval (and its p-value) of two proportions is built."""

    WALD = "wald"
    NEWCOMBE = "newcombe"
    MIETTINEN_NURMINEN = "miettinen-nurminen"


@dataclass(frozen=True, slots=True)
class Counts:
    """Successes of two arms, four arrays of one shape (checked and broadcast)."""

    successes_control: FloatArray
    n_control: FloatArray
    successes_treatment: FloatArray
    n_treatment: FloatArray

    @staticmethod
    def of(
        successes_control: ArrayLike, n_control: ArrayLike, successes_treatment: ArrayLike, n_treatment: ArrayLike
    ) -> Counts:
        """Checked counts; ValueError unless 0 ≤ successes ≤ n.

        >>> Counts.of(1, 10, [2, 3], 10).successes_control
        array([1., 1.])
        """
        arrays = np.broadcast_arrays(
            *(np.asarray(a, dtype=np.float64) for a in (successes_control, n_control, successes_treatment, n_treatment))
        )
        x_c, n_c, x_t, n_t = arrays
        if ((x_c < 0) | (x_t < 0) | (x_c > n_c) | (x_t > n_t)).any():
            raise ValueError("successes must lie between 0 and the number of units")
        return Counts(x_c, n_c, x_t, n_t)

    @property
    def rates(self) -> tuple[FloatArray, FloatArray]:
        """Control and treatment proportions, NaN for an empty arm."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.successes_control / self.n_control, self.successes_treatment / self.n_treatment


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


@dataclass(frozen=True, slots=True)
class ScoreResult:
    """An interval of the difference with the p-value of the same test."""

    interval: Interval
    p_value: FloatArray


def wilson(successes: ArrayLike, n: ArrayLike, z: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Wilson's score bounds of one proportion at the normal quantile `z`.

    >>> lower, upper = wilson(0, 10, 1.959963984540054)
    >>> round(float(lower), 6), round(float(upper), 6)
    (0.0, 0.277533)
    """
    x, size, q = (np.asarray(a, dtype=np.float64) for a in (successes, n, z))
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = x + q * q / 2
        half = q * np.sqrt(x * (size - x) / size + q * q / 4)
        lower, upper = (centre - half) / (size + q * q), (centre + half) / (size + q * q)
    return np.where(x == 0, 0.0, lower) + 0 * half, np.where(x == size, 1.0, upper) + 0 * half


def newcombe(counts: Counts, *, alpha: float = 0.05, alternative: Alternative = Alternative.TWO_SIDED) -> ScoreResult:
    """Newcombe's hybrid score interval (method 10), and the size at which it would touch zero.

    The p-value is the alpha of the interval whose bound is zero, so that both always agree.

    >>> result = newcombe(Counts.of(10, 100, 20, 100))
    >>> round(float(result.interval.lower), 6), round(float(result.interval.upper), 6)
    (0.000149, 0.199474)
    """
    check_alpha(alpha)
    p_c, p_t = counts.rates
    effect = p_t - p_c

    def lower_bound(z: FloatArray) -> FloatArray:
        _, upper_c = wilson(counts.successes_control, counts.n_control, z)
        lower_t, _ = wilson(counts.successes_treatment, counts.n_treatment, z)
        return np.asarray(effect - np.hypot(p_t - lower_t, upper_c - p_c))

    def upper_bound(z: FloatArray) -> FloatArray:
        lower_c, _ = wilson(counts.successes_control, counts.n_control, z)
        _, upper_t = wilson(counts.successes_treatment, counts.n_treatment, z)
        return np.asarray(effect + np.hypot(upper_t - p_t, p_c - lower_c))

    z = critical_value(np.full(effect.shape, np.inf), alpha, alternative)
    statistic = bisect(
        lambda s: np.where(effect > 0, lower_bound(s), -upper_bound(s)),
        np.zeros(effect.shape),
        _largest_z(counts),
    )
    statistic = np.where(effect == 0, 0.0, np.sign(effect) * statistic)
    p_value = tail_probability(statistic, np.inf, alternative)
    return ScoreResult(_open(lower_bound(z), upper_bound(z), alpha, alternative, "newcombe"), p_value)


def miettinen_nurminen(
    counts: Counts, *, alpha: float = 0.05, alternative: Alternative = Alternative.TWO_SIDED
) -> ScoreResult:
    """Miettinen–Nurminen's score interval of the difference, with its score test.

    The bounds solve (d − δ)² = z² v(δ), v at the restricted maximum likelihood for δ times
    N / (N − 1). Defined for zero-event arms.

    >>> result = miettinen_nurminen(Counts.of(0, 100, 5, 100))
    >>> round(float(result.interval.lower), 6), round(float(result.p_value), 6)
    (0.011904, 0.023891)
    """
    check_alpha(alpha)
    p_c, p_t = counts.rates
    effect = p_t - p_c
    z = critical_value(np.full(effect.shape, np.inf), alpha, alternative)
    lower = bisect(lambda d: score_statistic(counts, d) - z, np.full(effect.shape, -1.0), effect)
    upper = bisect(lambda d: score_statistic(counts, d) + z, effect, np.full(effect.shape, 1.0))
    p_value = tail_probability(score_statistic(counts, np.zeros(effect.shape)), np.inf, alternative)
    return ScoreResult(_open(lower, upper, alpha, alternative, "miettinen-nurminen"), p_value)


def score_statistic(counts: Counts, difference: ArrayLike) -> FloatArray:
    """Miettinen–Nurminen's z of the hypothesis p_T − p_C = `difference` (their equations 6–9).

    Decreasing in `difference`; 0 where the variance vanishes and the estimate is the hypothesis.

    >>> float(score_statistic(Counts.of(10, 100, 10, 100), 0.0))
    0.0
    """
    delta = np.asarray(difference, dtype=np.float64)
    rate_c, rate_t = restricted_rates(counts, delta)
    n = counts.n_control + counts.n_treatment
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = rate_c * (1 - rate_c) / counts.n_control + rate_t * (1 - rate_t) / counts.n_treatment
        variance = variance * (n / (n - 1))
        p_c, p_t = counts.rates
        gap = p_t - p_c - delta
        z = gap / np.sqrt(variance)
        certain = np.copysign(np.inf, gap) + 0 * gap
    return np.where(gap == 0, 0.0, np.where(variance > 0, z, certain))


def restricted_rates(counts: Counts, difference: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Maximum-likelihood rates of both arms given their difference (Miettinen–Nurminen, appendix I).

    >>> control, treatment = restricted_rates(Counts.of(10, 100, 30, 100), 0.0)
    >>> round(float(control), 9), round(float(treatment), 9)
    (0.2, 0.2)
    """
    d = np.asarray(difference, dtype=np.float64)
    x_c, n_c, x_t, n_t = counts.successes_control, counts.n_control, counts.successes_treatment, counts.n_treatment
    n, x = n_c + n_t, x_c + x_t
    with np.errstate(divide="ignore", invalid="ignore"):
        # the cubic l3 p³ + l2 p² + l1 p + l0 = 0 in the control's rate p
        l2 = (n_c + n) * d - n - x
        l1 = (n_c * d - n - 2 * x_c) * d + x
        l0 = x_c * d * (1 - d)
        shift = l2 / (3 * n)
        q = shift**3 - l1 * l2 / (6 * n * n) + l0 / (2 * n)
        root = np.sqrt(np.maximum(shift * shift - l1 / (3 * n), 0.0))
        p = np.where(q >= 0, root, -root)
        cosine = np.where(p == 0, 0.0, q / p**3)
        angle = (np.pi + np.arccos(np.clip(cosine, -1.0, 1.0))) / 3
        rate = 2 * p * np.cos(angle) - shift
    control = np.clip(rate, np.maximum(0.0, -d), np.minimum(1.0, 1.0 - d))
    return control, np.clip(control + d, 0.0, 1.0)


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


def _largest_z(counts: Counts) -> FloatArray:
    """A statistic that no table of this size exceeds (Wilson's bounds are at ±1 long before)."""
    return 10 * np.sqrt(counts.n_control + counts.n_treatment) + 0 * counts.rates[0]


def _open(lower: FloatArray, upper: FloatArray, alpha: float, alternative: Alternative, method: str) -> Interval:
    """The interval with one side opened for a one-sided test."""
    undefined: BoolArray = np.isnan(lower + upper)
    if alternative == Alternative.GREATER:
        upper = np.full(upper.shape, np.inf)
    elif alternative == Alternative.LESS:
        lower = np.full(lower.shape, -np.inf)
    return Interval(np.where(undefined, np.nan, lower), np.where(undefined, np.nan, upper), 1 - alpha, method=method)
