"""The few methods that need the values of single units, not their sums.

Quantiles, bootstrap, rank tests, row-level HC2 regression and the preparation of covariates. Random
methods take a numpy `Generator`.

Sources: A. Canty, A. C. Davison, "Bootstrap methods" (1997), basic interval; N. Chamandy et al.,
"Estimating uncertainty for massive data streams", Google (2012), Poisson bootstrap; J. G. MacKinnon,
H. White, Journal of Econometrics 29 (1985), HC2; H. B. Mann, D. R. Whitney, Annals of Mathematical
Statistics 18 (1947).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from experiments.stats.aggregates import aggregate
from experiments.stats.estimates import Estimate, check_alpha
from experiments.stats.quantile import QuantileSummary, check_quantile, cluster_factor, summarize
from experiments.stats.results import Alternative, FloatArray, IntArray, Interval

CHUNK = 2_000_000  # random numbers held at once
SCIPY_NAMES: dict[Alternative, Literal["two-sided", "greater", "less"]] = {
    Alternative.TWO_SIDED: "two-sided",
    Alternative.GREATER: "greater",
    Alternative.LESS: "less",
}


class BootstrapInterval(StrEnum):
    """How the interval is read off the resamples."""

    PERCENTILE = "percentile"
    BASIC = "basic"


@dataclass(frozen=True, slots=True)
class BootstrapComparison:
    """A statistic's difference and lift with bootstrap intervals; lift NaN if control is not positive."""

    control: float
    treatment: float
    effect: float
    effect_ci: Interval
    lift: float
    lift_ci: Interval


@dataclass(frozen=True, slots=True)
class RankComparison:
    """Mann–Whitney: the chance that a treated unit exceeds a control unit, ties counted half."""

    treatment_exceeds: float
    statistic: float
    p_value: float


@dataclass(frozen=True, slots=True)
class FilledCovariate:
    """A covariate with its gaps filled by zero, and the indicator of the gaps: use both."""

    values: FloatArray
    missing: FloatArray


def fill_missing(values: ArrayLike) -> FilledCovariate:
    """Missing covariates (NaN) as zero plus an indicator, so that no unit is dropped.

    >>> filled = fill_missing([1.0, np.nan])
    >>> filled.values.tolist(), filled.missing.tolist()
    ([1.0, 0.0], [0.0, 1.0])
    """
    x = np.asarray(values, dtype=np.float64)
    missing = np.isnan(x)
    return FilledCovariate(np.where(missing, 0.0, x), missing.astype(np.float64))


def quantile_summary(
    values: ArrayLike, *, quantile: float, clusters: ArrayLike | None = None, level: float = 0.95
) -> QuantileSummary:
    """One arm's quantile with its order statistics; `clusters` holds each value's unit number ≥ 0.

    The quantile interpolates linearly between order statistics (as numpy and R do). The bounds are
    NaN where the sample is too small for them. Raises ValueError for a quantile or level outside (0, 1).

    >>> summary = quantile_summary(np.arange(1.0, 102.0), quantile=0.5)
    >>> float(summary.value), float(summary.lower), float(summary.upper)
    (51.0, 41.0, 61.0)
    """
    check_quantile(quantile)
    check_alpha(level, "level")
    y = np.sort(np.asarray(values, dtype=np.float64))
    n = y.size
    half = _z(level) * np.sqrt(n * quantile * (1 - quantile))
    below, above = int(np.ceil(n * quantile - half)), int(np.ceil(n * quantile + half))
    inside = n > 0 and below >= 1 and above <= n
    factor = 1.0
    value = float(np.quantile(y, quantile)) if n else np.nan
    if clusters is not None:
        factor = _factor(np.asarray(values, dtype=np.float64), np.asarray(clusters), value, quantile)
    return summarize(
        value,
        y[below - 1] if inside else np.nan,
        y[above - 1] if inside else np.nan,
        n,
        quantile=quantile,
        cluster_factor=factor,
        level=level,
    )


def bootstrap(
    control: ArrayLike,
    treatment: ArrayLike,
    statistic: Callable[[FloatArray], FloatArray],
    *,
    rng: np.random.Generator,
    resamples: int = 10_000,
    alpha: float = 0.05,
    interval: BootstrapInterval = BootstrapInterval.BASIC,
) -> BootstrapComparison:
    """Compare any statistic of independent units by resampling each arm.

    `statistic` maps an array (…, n) to (…), over its last axis. Raises ValueError for empty arms.

    >>> rng = np.random.default_rng(1)
    >>> result = bootstrap([1, 2, 3, 4], [3, 4, 5, 6], lambda a: np.median(a, axis=-1), rng=rng, resamples=200)
    >>> result.effect
    2.0
    """
    check_alpha(alpha)
    arms = [np.asarray(a, dtype=np.float64) for a in (control, treatment)]
    if not all(a.size for a in arms):
        raise ValueError("each arm needs at least one unit")
    c, t = (float(statistic(a)) for a in arms)
    draws = [_resample(a, statistic, resamples, rng) for a in arms]
    return _intervals((c, t), (draws[0], draws[1]), alpha, interval)


def poisson_bootstrap(
    control: ArrayLike,
    treatment: ArrayLike,
    *,
    control_denominator: ArrayLike | None = None,
    treatment_denominator: ArrayLike | None = None,
    rng: np.random.Generator,
    resamples: int = 2_000,
    alpha: float = 0.05,
    interval: BootstrapInterval = BootstrapInterval.PERCENTILE,
) -> BootstrapComparison:
    """Means, or ratios of sums with denominators, resampled by Poisson(1) weights per unit.

    A check on the closed forms: no normal theory, one pass. Raises ValueError for empty arms,
    denominators of another length and those that add up to 0.

    >>> rng = np.random.default_rng(1)
    >>> result = poisson_bootstrap([1, 2, 3, 4], [3, 4, 5, 6], rng=rng, resamples=500)
    >>> result.effect, result.effect_ci.contains(2.0).item()
    (2.0, True)
    """
    check_alpha(alpha)
    pairs = []
    for y, d in ((control, control_denominator), (treatment, treatment_denominator)):
        above = np.asarray(y, dtype=np.float64)
        below = np.ones(above.shape) if d is None else np.asarray(d, dtype=np.float64)
        if not above.size or above.shape != below.shape:
            raise ValueError("each arm needs at least one unit, and a denominator per unit if any")
        pairs.append((above, below))
    if any(d.sum() == 0 for _, d in pairs):
        raise ValueError("the denominators of an arm must not add up to 0")
    points = tuple(float(y.sum() / d.sum()) for y, d in pairs)
    draws = [_poisson(y, d, resamples, rng) for y, d in pairs]
    return _intervals((points[0], points[1]), (draws[0], draws[1]), alpha, interval)


def interacted_hc2(outcome: ArrayLike, treated: ArrayLike, covariates: ArrayLike, *, df: float = np.inf) -> Estimate:
    """Row-level OLS on arm × centred covariates with an HC2 error: the effect at the mean covariates.

    `outcome` and `treated` (0/1) have shape (n,), `covariates` (n, p). The value is the coefficient of
    the arm. What `regression.compare_interacted` computes from aggregates, to check it with.

    >>> y, arm = np.array([1, 2, 4, 5, 3, 5, 6, 9.0]), np.repeat([0, 1], 4)
    >>> round(float(interacted_hc2(y, arm, np.tile([[1.0], [2], [3], [4]], (2, 1))).value), 6)
    2.75
    """
    y, arm = np.asarray(outcome, dtype=np.float64), np.asarray(treated, dtype=np.float64)
    x = np.asarray(covariates, dtype=np.float64)
    centred = x - x.mean(axis=0)
    design = np.column_stack([np.ones(y.size), arm, centred, arm[:, None] * centred])
    inverse = np.linalg.pinv(design)
    beta = inverse @ y
    leverage = np.einsum("ij,ji->i", design, inverse)
    residual = y - design @ beta
    # a row that determines its own fit leaves no residual to scale
    scaled = np.divide(np.square(residual), 1 - leverage, out=np.zeros(y.size), where=leverage < 1 - 1e-12)
    variance = (inverse * scaled) @ inverse.T
    return Estimate(np.asarray(beta[1]), np.asarray(variance[1, 1]), np.asarray(df, dtype=np.float64))


def mann_whitney(
    control: ArrayLike,
    treatment: ArrayLike,
    *,
    alternative: Alternative = Alternative.TWO_SIDED,
    exact: bool = False,
    continuity: bool = True,
) -> RankComparison:
    """The rank test of whether treated units tend to be larger; not a test of means.

    Ties get the corrected normal variance; `exact` uses the distribution without ties. Raises
    ValueError for empty arms.

    >>> result = mann_whitney([1, 2, 3], [2, 3, 4])
    >>> round(result.treatment_exceeds, 6), result.statistic
    (0.777778, 7.0)
    """
    from scipy.stats import mannwhitneyu

    c, t = np.asarray(control, dtype=np.float64), np.asarray(treatment, dtype=np.float64)
    if not c.size or not t.size:
        raise ValueError("each arm needs at least one unit")
    method: Literal["exact", "asymptotic"] = "exact" if exact else "asymptotic"
    result = mannwhitneyu(t, c, use_continuity=continuity, alternative=SCIPY_NAMES[alternative], method=method)
    statistic = float(result.statistic)
    return RankComparison(statistic / (c.size * t.size), statistic, float(result.pvalue))


def _z(level: float) -> float:
    from scipy.special import ndtri

    return float(ndtri((1 + level) / 2))


def _factor(values: FloatArray, clusters: IntArray, value: float, quantile: float) -> float:
    if clusters.shape != values.shape:
        raise ValueError("clusters must have one unit number per value")
    present = np.unique(clusters, return_inverse=True)[1]
    below = np.bincount(present, weights=(values <= value).astype(np.float64))
    units = aggregate({"below": below, "observations": np.bincount(present)})
    return float(cluster_factor(units, quantile=quantile))


def _resample(
    values: FloatArray, statistic: Callable[[FloatArray], FloatArray], resamples: int, rng: np.random.Generator
) -> FloatArray:
    found = []
    step = max(1, CHUNK // values.size)
    for start in range(0, resamples, step):
        size = (min(step, resamples - start), values.size)
        found.append(statistic(values[rng.integers(0, values.size, size)]))
    return np.concatenate(found)


def _poisson(above: FloatArray, below: FloatArray, resamples: int, rng: np.random.Generator) -> FloatArray:
    found = []
    step = max(1, CHUNK // above.size)
    for start in range(0, resamples, step):
        weights = rng.poisson(1.0, (min(step, resamples - start), above.size)).astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            found.append((weights @ above) / (weights @ below))
    draws = np.concatenate(found)
    return draws[np.isfinite(draws)]


def _intervals(
    points: tuple[float, float],
    draws: tuple[FloatArray, FloatArray],
    alpha: float,
    interval: BootstrapInterval,
) -> BootstrapComparison:
    c, t = points
    size = min(draws[0].size, draws[1].size)
    drawn_c, drawn_t = draws[0][:size], draws[1][:size]
    effect = t - c
    effect_ci = _interval(effect, drawn_t - drawn_c, alpha, interval)
    lift, lift_ci = np.nan, Interval(np.asarray(np.nan), np.asarray(np.nan), 1 - alpha, method=str(interval))
    if c > 0 and t > 0:
        lift = t / c - 1
        usable = drawn_c > 0
        lift_ci = _interval(lift, drawn_t[usable] / drawn_c[usable] - 1, alpha, interval)
    return BootstrapComparison(c, t, effect, effect_ci, lift, lift_ci)


def _interval(point: float, draws: FloatArray, alpha: float, interval: BootstrapInterval) -> Interval:
    low, high = np.quantile(draws, [alpha / 2, 1 - alpha / 2])
    if interval == BootstrapInterval.BASIC:
        low, high = 2 * point - high, 2 * point - low
    return Interval(np.asarray(low), np.asarray(high), 1 - alpha, method=f"{interval} bootstrap")
