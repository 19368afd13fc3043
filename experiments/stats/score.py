"""Score methods for two proportions: defined for zero events, good coverage at small counts.

Sources: R. G. Newcombe, "Interval estimation for the difference between independent proportions:
comparison of eleven methods", Statistics in Medicine 17 (1998), method 10; O. Miettinen, M. Nurminen,
"Comparative analysis of two rates", Statistics in Medicine 4 (1985), equations 3–10 and appendix I;
P. A. R. Koopman, "Confidence intervals for the ratio of two binomial proportions", Biometrics 40
(1984); E. B. Wilson, JASA 22 (1927).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from experiments.stats.estimates import check_alpha, critical_value, tail_probability
from experiments.stats.results import Alternative, FloatArray, Interval
from experiments.stats.roots import bisect

LARGEST_LOG_RATIO = 60.0  # e^60: no ratio of two counts of people is as large

# Newton's steps at most for a restricted rate: the cosine form may be off by 1e-8, which at rates of
# 1e-9 takes a few halvings before convergence is quadratic.
POLISHING_STEPS = 12


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
        """Checked counts, NaN where not finite; ValueError unless 0 ≤ successes ≤ n.

        >>> Counts.of(1, 10, [2, 3], 10).successes_control
        array([1., 1.])
        """
        arrays = np.broadcast_arrays(
            *(_count(a) for a in (successes_control, n_control, successes_treatment, n_treatment))
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


def _count(values: ArrayLike) -> FloatArray:
    given = np.asarray(values, dtype=np.float64)
    return given if np.isfinite(given).all() else np.where(np.isfinite(given), given, np.nan)


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


def miettinen_nurminen_ratio(
    counts: Counts, *, alpha: float = 0.05, alternative: Alternative = Alternative.TWO_SIDED
) -> ScoreResult:
    """Score interval of the lift p_T / p_C − 1 (Koopman, with Miettinen–Nurminen's N / (N − 1)).

    The p-value is that of equal rates, the same as for the difference. With no control event the
    upper bound is infinite; NaN where neither arm has an event.

    >>> result = miettinen_nurminen_ratio(Counts.of(10, 100, 20, 100))
    >>> round(float(result.interval.lower), 4), round(float(result.interval.upper), 4)
    (0.0052, 3.0306)
    """
    check_alpha(alpha)
    p_c, p_t = counts.rates
    with np.errstate(divide="ignore", invalid="ignore"):
        point = np.log(p_t / p_c)
    z = critical_value(np.full(point.shape, np.inf), alpha, alternative)
    middle = np.clip(point, -LARGEST_LOG_RATIO, LARGEST_LOG_RATIO)
    far = np.full(point.shape, LARGEST_LOG_RATIO)
    lower = bisect(lambda r: ratio_statistic(counts, np.exp(r)) - z, -far, middle)
    upper = bisect(lambda r: ratio_statistic(counts, np.exp(r)) + z, middle, far)
    lower = np.where(counts.successes_treatment == 0, -1.0, np.expm1(lower))
    upper = np.where(counts.successes_control == 0, np.inf, np.expm1(upper))
    lower, upper = lower + 0 * middle, np.where(np.isnan(middle), np.nan, upper)
    p_value = tail_probability(ratio_statistic(counts, np.ones(point.shape)), np.inf, alternative)
    return ScoreResult(_open(lower, upper, alpha, alternative, "miettinen-nurminen ratio"), p_value)


def ratio_statistic(counts: Counts, ratio: ArrayLike) -> FloatArray:
    """The score z of the hypothesis p_T / p_C = `ratio` (Miettinen–Nurminen, equations 10 and 11).

    >>> float(ratio_statistic(Counts.of(10, 100, 10, 100), 1.0))
    0.0
    """
    rho = np.asarray(ratio, dtype=np.float64)
    n_c, n_t = counts.n_control, counts.n_treatment
    x, n = counts.successes_control + counts.successes_treatment, n_c + n_t
    b = n_t * rho + counts.successes_treatment + n_c + counts.successes_control * rho
    with np.errstate(divide="ignore", invalid="ignore"):
        # the smaller root of n ρ p² − b p + x = 0, in the form that does not cancel
        rate_c = 2 * x / (b + np.sqrt(np.maximum(b * b - 4 * n * rho * x, 0.0)))
        rate_t = rate_c * rho
        variance = rate_t * np.maximum(1 - rate_t, 0) / n_t + rho * rho * rate_c * np.maximum(1 - rate_c, 0) / n_c
        p_c, p_t = counts.rates
        gap = p_t - rho * p_c
        z = gap / np.sqrt(variance * (n / (n - 1)))
    return np.where(gap == 0, 0.0, np.where(variance > 0, z, np.copysign(np.inf, gap) + 0 * gap))


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
        rate = _polished(2 * p * np.cos(angle) - shift, (l0, l1, l2, n))
    control = np.clip(rate, np.maximum(0.0, -d), np.minimum(1.0, 1.0 - d))
    return control, np.clip(control + d, 0.0, 1.0)


def _polished(root: FloatArray, cubic: tuple[FloatArray, FloatArray, FloatArray, FloatArray]) -> FloatArray:
    """Newton's steps while they help: the cosine form loses digits where rates are tiny (two roots near 0)."""
    l0, l1, l2, l3 = cubic
    for _ in range(POLISHING_STEPS):
        value = ((l3 * root + l2) * root + l1) * root + l0
        tried = root - value / ((3 * l3 * root + 2 * l2) * root + l1)
        left = ((l3 * tried + l2) * tried + l1) * tried + l0
        better = np.abs(left) < np.abs(value)
        if not better.any():
            break
        root = np.where(better, tried, root)
    return root


def _largest_z(counts: Counts) -> FloatArray:
    """A statistic that no table of this size exceeds (Wilson's bounds are at ±1 long before)."""
    return 10 * np.sqrt(counts.n_control + counts.n_treatment) + 0 * counts.rates[0]


def _open(lower: FloatArray, upper: FloatArray, alpha: float, alternative: Alternative, method: str) -> Interval:
    """The interval with one side opened for a one-sided test."""
    undefined = np.isnan(lower + upper)
    if alternative == Alternative.GREATER:
        upper = np.full(upper.shape, np.inf)
    elif alternative == Alternative.LESS:
        lower = np.full(lower.shape, -np.inf)
    return Interval(np.where(undefined, np.nan, lower), np.where(undefined, np.nan, upper), 1 - alpha, method=method)
