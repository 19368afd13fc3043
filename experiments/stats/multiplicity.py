"""Many comparisons: adjusted p-values, and the intervals that go with them.

A *family* is declared with the plan (the primary metrics × treatments, say); its size is fixed
then. A member that could not be computed (NaN) stays in the family as if its p-value were 1, so
nobody gains by breaking a metric. Guardrails are not in the family: they spend power, not alpha
(`experiments.stats.power.guardrail_power`).

The adjusted p-values come from statsmodels where it has the method; it is imported inside, because
that takes seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike

from experiments.stats.estimates import check_alpha, critical_value
from experiments.stats.results import Alternative, BoolArray, FloatArray, Interval, IntervalKind


class Adjustment(StrEnum):
    """A method; the first group bounds the chance of any false alarm, the rest the false share."""

    NONE = "none"
    BONFERRONI = "bonferroni"
    HOLM = "holm"
    HOLM_SIDAK = "holm-sidak"
    HOCHBERG = "hochberg"
    HOCHBERG_SIDAK = "hochberg-sidak"
    BENJAMINI_HOCHBERG = "benjamini-hochberg"
    BENJAMINI_YEKUTIELI = "benjamini-yekutieli"
    TWO_STAGE_BH = "two-stage-bh"
    TWO_STAGE_BKY = "two-stage-bky"


_STATSMODELS = {
    Adjustment.BONFERRONI: "bonferroni",
    Adjustment.HOLM: "holm",
    Adjustment.HOLM_SIDAK: "holm-sidak",
    Adjustment.HOCHBERG: "simes-hochberg",
    Adjustment.BENJAMINI_HOCHBERG: "fdr_bh",
    Adjustment.BENJAMINI_YEKUTIELI: "fdr_by",
    Adjustment.TWO_STAGE_BH: "fdr_tsbh",
    Adjustment.TWO_STAGE_BKY: "fdr_tsbky",
}
_STEP_DOWN = {Adjustment.HOLM, Adjustment.HOLM_SIDAK}
_TWO_STAGE = {Adjustment.TWO_STAGE_BH, Adjustment.TWO_STAGE_BKY}

# Always-valid p-values of several metrics depend on each other in ways nobody knows, and the
# step-up methods of Hochberg and of Benjamini & Hochberg need independence or positive dependence.
ALWAYS_VALID_METHODS = frozenset(
    {Adjustment.NONE, Adjustment.BONFERRONI, Adjustment.HOLM, Adjustment.BENJAMINI_YEKUTIELI}
)


@dataclass(frozen=True, slots=True)
class AdjustedFamily:
    """A family after adjustment, in the order given.

    `p_values` are adjusted (NaN where the member is undefined), `rejected` says which members are
    significant, `thresholds` what each raw p-value was compared with (NaN for two-stage methods,
    which have no such number).
    """

    p_values: FloatArray
    rejected: BoolArray
    thresholds: FloatArray
    method: Adjustment
    alpha: float


def adjust(
    p_values: ArrayLike,
    *,
    method: Adjustment = Adjustment.HOLM,
    alpha: float = 0.05,
    always_valid: bool = False,
) -> AdjustedFamily:
    """Adjusted p-values of one family, a vector.

    With `always_valid` only methods that hold under any dependence are allowed.

    Raises `ValueError` for an empty or not one-dimensional family, p outside [0, 1], or a method
    that is not allowed. Sources: Holm (1979); Hochberg (1988); Benjamini & Hochberg (1995);
    Benjamini & Yekutieli (2001); Benjamini, Krieger & Yekutieli (2006), as in statsmodels.

    >>> adjust([0.001, 0.008, 0.039], method=Adjustment.HOLM).p_values
    array([0.003, 0.016, 0.039])
    """
    check_alpha(alpha)
    given = _family(p_values)
    if always_valid and method not in ALWAYS_VALID_METHODS:
        allowed = ", ".join(sorted(ALWAYS_VALID_METHODS))
        raise ValueError(f"method {method} needs independence; for always-valid p-values use one of {allowed}")
    known = np.nan_to_num(given, nan=1.0)
    if method is Adjustment.NONE:
        adjusted, rejected = known, known <= alpha
    elif method is Adjustment.HOCHBERG_SIDAK:
        adjusted = _hochberg_sidak(known)
        rejected = adjusted <= alpha
    else:
        from statsmodels.stats.multitest import multipletests

        with np.errstate(divide="ignore"):  # a p-value of exactly 1 has the logarithm −∞ in its tail
            rejected, adjusted, _, _ = multipletests(known, alpha=alpha, method=_STATSMODELS[method])
    undefined = np.isnan(given)
    return AdjustedFamily(
        p_values=np.where(undefined, np.nan, adjusted),
        rejected=np.asarray(rejected & ~undefined, dtype=np.bool_),
        thresholds=_thresholds(known, method, alpha),
        method=method,
        alpha=alpha,
    )


def adjust_e_values(e_values: ArrayLike, *, alpha: float = 0.05) -> AdjustedFamily:
    """e-BH: false-discovery control for e-values under any dependence and any stopping.

    The adjusted "p-value" of a member is the smallest alpha that rejects it. An e-value is what a
    sequential test's 1 / p is before it is cut at 1.

    Source: Wang & Ramdas, "False discovery rate control with e-values" (JRSS B, 2022), section 4.

    >>> adjust_e_values([100.0, 45.0, 2.0]).rejected
    array([ True,  True, False])
    """
    check_alpha(alpha)
    given = np.atleast_1d(np.asarray(e_values, dtype=np.float64))
    if given.ndim != 1 or given.size == 0 or np.any(given < 0):
        raise ValueError("e_values must be a vector of numbers of 0 or more")
    known = np.where(np.isnan(given), 0.0, given)
    order = np.argsort(-known, kind="stable")
    ranks = np.arange(1, known.size + 1)
    with np.errstate(divide="ignore"):
        needed = known.size / (ranks * known[order])
    sorted_p = np.minimum(np.minimum.accumulate(needed[::-1])[::-1], 1.0)
    adjusted = np.empty_like(known)
    adjusted[order] = sorted_p
    undefined = np.isnan(given)
    return AdjustedFamily(
        p_values=np.where(undefined, np.nan, adjusted),
        rejected=np.asarray((adjusted <= alpha) & ~undefined, dtype=np.bool_),
        thresholds=np.full(known.shape, np.nan),
        method=Adjustment.BENJAMINI_HOCHBERG,
        alpha=alpha,
    )


def interval_level(family: AdjustedFamily) -> tuple[float, IntervalKind]:
    """The level at which to compute every member's interval, and what it then promises.

    Bonferroni: 1 − alpha / m, simultaneous. Holm and Hochberg: the same, conservative (their own
    intervals would not be of the usual form). Benjamini–Hochberg: 1 − R alpha / m for R rejections,
    the false-coverage rate among the selected; Benjamini–Yekutieli divides by Σ 1/i as well.

    Source: Benjamini & Yekutieli, "False Discovery Rate–Adjusted Multiple Confidence Intervals"
    (JASA 2005). A two-stage method estimates how many hypotheses are true and so rejects more than
    these intervals, valid for any selection, exclude.

    >>> interval_level(adjust([0.001, 0.008, 0.039], method=Adjustment.BENJAMINI_HOCHBERG))
    (0.95, <IntervalKind.FALSE_COVERAGE_RATE: 'false_coverage_rate'>)
    """
    size = family.p_values.size
    selected = max(int(family.rejected.sum()), 1)
    match family.method:
        case Adjustment.NONE:
            return 1 - family.alpha, IntervalKind.CONFIDENCE
        case Adjustment.BONFERRONI:
            return 1 - family.alpha / size, IntervalKind.SIMULTANEOUS
        case Adjustment.BENJAMINI_HOCHBERG | Adjustment.TWO_STAGE_BH | Adjustment.TWO_STAGE_BKY:
            return 1 - selected * family.alpha / size, IntervalKind.FALSE_COVERAGE_RATE
        case Adjustment.BENJAMINI_YEKUTIELI:
            return 1 - selected * family.alpha / (size * _harmonic(size)), IntervalKind.FALSE_COVERAGE_RATE
        case _:
            return 1 - family.alpha / size, IntervalKind.CONSERVATIVE


def adjusted_interval(
    effect: ArrayLike,
    standard_error: ArrayLike,
    family: AdjustedFamily,
    *,
    df: ArrayLike = np.inf,
    alternative: Alternative = Alternative.TWO_SIDED,
) -> Interval:
    """Intervals of a family's effects at the level of `interval_level` (Student's t, or normal).

    `alternative` is that of the tests whose p-values made the family.

    >>> told = adjusted_interval([1.0, 2.0], [0.5, 0.5], adjust([0.0455, 0.0001], method=Adjustment.BONFERRONI))
    >>> told.lower.round(4), told.level
    (array([-0.1207,  0.8793]), 0.975)
    """
    level, kind = interval_level(family)
    change, error, freedom = np.broadcast_arrays(
        np.asarray(effect, dtype=np.float64),
        np.asarray(standard_error, dtype=np.float64),
        np.asarray(df, dtype=np.float64),
    )
    radius = critical_value(freedom, 1 - level, alternative) * error
    lower, upper = change - radius, change + radius
    if alternative is Alternative.GREATER:
        upper = np.where(np.isnan(lower), np.nan, np.inf)
    elif alternative is Alternative.LESS:
        lower = np.where(np.isnan(upper), np.nan, -np.inf)
    return Interval(lower, upper, level, kind, f"{family.method} family")


def _family(p_values: ArrayLike) -> FloatArray:
    given = np.atleast_1d(np.asarray(p_values, dtype=np.float64))
    if given.ndim != 1 or given.size == 0:
        raise ValueError(f"p_values must be a vector of one or more, got shape {given.shape}")
    if np.any((given < 0) | (given > 1)):
        raise ValueError("p_values must lie in [0, 1]")
    return given


def _harmonic(size: int) -> float:
    return float((1 / np.arange(1, size + 1)).sum())


def _hochberg_sidak(p_values: FloatArray) -> FloatArray:
    """Hochberg's step-up with Šidák's exponents: p̃ = 1 − (1 − p)^(m − i + 1), running minimum from the top."""
    order = np.argsort(p_values, kind="stable")
    left = np.arange(p_values.size, 0, -1)
    with np.errstate(divide="ignore"):
        powered = -np.expm1(left * np.log1p(-p_values[order]))
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum.accumulate(powered[::-1])[::-1]
    return adjusted


def _thresholds(p_values: FloatArray, method: Adjustment, alpha: float) -> FloatArray:
    """What each p was compared with: step-down methods stop at the first failure, step-up at the last success."""
    size = p_values.size
    ranks = np.arange(1, size + 1)
    if method in _TWO_STAGE:
        return np.full(size, np.nan)
    match method:
        case Adjustment.NONE:
            steps = np.full(size, alpha)
        case Adjustment.BONFERRONI:
            steps = np.full(size, alpha / size)
        case Adjustment.HOLM | Adjustment.HOCHBERG:
            steps = alpha / (size - ranks + 1)
        case Adjustment.HOLM_SIDAK | Adjustment.HOCHBERG_SIDAK:
            steps = -np.expm1(np.log1p(-alpha) / (size - ranks + 1))
        case Adjustment.BENJAMINI_YEKUTIELI:
            steps = alpha * ranks / (size * _harmonic(size))
        case _:
            steps = alpha * ranks / size
    # Ties: a step-up method walks down from the largest, so the first of equals has the higher rank.
    order = np.argsort(p_values, kind="stable")
    if method not in _STEP_DOWN:
        order = np.argsort(-p_values, kind="stable")[::-1]
    passed = p_values[order] <= steps
    if method in _STEP_DOWN:
        first = int(np.argmin(passed)) if not passed.all() else size - 1
        steps = np.where(ranks - 1 > first, steps[first], steps)
    elif passed.any():
        last = int(np.flatnonzero(passed)[-1])
        steps = np.where(ranks - 1 < last, steps[last], steps)
    told = np.empty(size)
    told[order] = steps
    return told
