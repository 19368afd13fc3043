"""Sample-ratio mismatch: do the arms hold the shares that were designed?

A mismatch means that something between assignment and analysis loses or adds units of one arm, so
no effect of that experiment can be believed (Fabijan et al., KDD 2019, "Diagnosing Sample Ratio
Mismatch"). Counts and weights carry the arms on their last axis; every other axis is free (phases,
segments, days, experiments). Arms of weight 0 must be empty: units found there are a *leak*, which
is reported apart and never hidden in the chi-square.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from experiments.stats.results import BoolArray, FloatArray, Index, IntArray, Reason, ReasonArray, defined, reason_at

# Fabijan et al. (KDD 2019), section 4: an alarm must be rare enough to stop a healthy experiment
# almost never; they and the large platforms use 0.001 or less.
SRM_THRESHOLD = 0.001
# Relative deviation of an arm's share from its design under which a significant mismatch warns and
# does not block: 0.1 % of an arm. The known harmful cases begin at about 0.4 %.
PRACTICAL_DEVIATION = 0.001
# Concentration of the Dirichlet prior of the sequential test: an arm of 50 % is expected to miss
# its share by about sqrt(0.25 / 10,000) = 0.5 percentage points if there is a defect.
SEQUENTIAL_CONCENTRATION = 10_000.0


class SrmVerdict(StrEnum):
    """What a health panel does with the outcome."""

    HEALTHY = "healthy"
    WARNING = "warning"
    BLOCKED = "blocked"
    UNDEFINED = "undefined"


@dataclass(frozen=True, slots=True)
class SrmResult:
    """One check, as a page shows it; `p_value` is `None` with a reason where undefined."""

    p_value: float | None
    statistic: float | None
    df: float
    largest_deviation: float | None
    leaked: int
    verdict: SrmVerdict
    reason: Reason | None


@dataclass(frozen=True, slots=True)
class SrmTest:
    """Checks of any common shape.

    `statistic` is Pearson's chi-square over the arms of positive weight (NaN for the sequential
    test, where it is the log Bayes factor), `df` its degrees of freedom, `largest_deviation` the
    largest |observed / expected − 1| of an arm, `leaked` the units seen in arms of weight 0.
    """

    p_value: FloatArray
    statistic: FloatArray
    df: FloatArray
    largest_deviation: FloatArray
    leaked: FloatArray
    leak_share: FloatArray
    threshold: float
    practical_deviation: float
    reasons: ReasonArray

    @property
    def mismatch(self) -> BoolArray:
        """Whether the shares differ from the design at the threshold."""
        return np.asarray(self.p_value < self.threshold, dtype=np.bool_)

    @property
    def blocks(self) -> BoolArray:
        """Whether the mismatch, or the leak, is also large enough to matter."""
        large = self.mismatch & (self.largest_deviation >= self.practical_deviation)
        return np.asarray(large | (self.leak_share >= self.practical_deviation), dtype=np.bool_)

    def at(self, index: Index = ()) -> SrmResult:
        """The scalar view at `index`."""
        return SrmResult(
            p_value=defined(self.p_value, index),
            statistic=defined(self.statistic, index),
            df=float(np.asarray(self.df)[index]),
            largest_deviation=defined(self.largest_deviation, index),
            leaked=int(np.asarray(self.leaked)[index]),
            verdict=self._verdict(index),
            reason=reason_at(self.reasons, index),
        )

    def _verdict(self, index: Index) -> SrmVerdict:
        if bool(np.asarray(self.blocks)[index]):
            return SrmVerdict.BLOCKED
        if bool(np.asarray(self.mismatch)[index]) or float(np.asarray(self.leaked)[index]) > 0:
            return SrmVerdict.WARNING
        return SrmVerdict.UNDEFINED if reason_at(self.reasons, index) else SrmVerdict.HEALTHY


def srm_test(
    counts: ArrayLike,
    weights: ArrayLike,
    *,
    threshold: float = SRM_THRESHOLD,
    practical_deviation: float = PRACTICAL_DEVIATION,
    continuity: bool = False,
) -> SrmTest:
    """Pearson's chi-square of the arms' counts against the designed weights.

    `counts` (…, arms) are units, `weights` broadcast to it and need not sum to 1. With
    `continuity`, each |observed − expected| is shortened by up to 0.5 (Yates), which is what some
    peers do for two arms. The sum runs over arms of positive weight only; df = their number − 1.

    Raises `ValueError` for negative counts, negative or all-zero weights, or fewer than two arms.
    Source: Fabijan et al. (KDD 2019), section 2.

    >>> check = srm_test([10_000, 10_500], [0.5, 0.5]).at()
    >>> round(check.p_value, 8), check.verdict.value
    (0.00047915, 'blocked')
    >>> srm_test([1_000, 1_050, 3], [0.5, 0.5, 0]).at().leaked
    3
    """
    observed, share, planned = _counts_and_shares(counts, weights)
    leaked = np.where(planned, 0.0, observed).sum(axis=-1)
    observed = np.where(planned, observed, 0.0)
    total = observed.sum(axis=-1)
    expected = share * total[..., None]
    distance = np.abs(observed - expected)
    if continuity:
        distance = np.maximum(distance - 0.5, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(planned, distance**2 / expected, 0.0)
        deviation = np.where(planned, np.abs(observed / expected - 1), 0.0).max(axis=-1)
        leak_share = np.where(leaked > 0, leaked / (total + leaked), 0.0)
    empty = total == 0
    statistic = np.where(empty, np.nan, np.where(empty[..., None], 0.0, terms).sum(axis=-1))
    df = planned.sum(axis=-1) - 1.0
    return SrmTest(
        p_value=np.asarray(_chi_square_tail(statistic, df), dtype=np.float64),
        statistic=statistic,
        df=np.asarray(df, dtype=np.float64),
        largest_deviation=np.where(empty, np.nan, deviation),
        leaked=leaked,
        leak_share=leak_share,
        threshold=threshold,
        practical_deviation=practical_deviation,
        reasons=_empty_reason(empty),
    )


def srm_test_over_phases(
    counts: ArrayLike,
    weights: ArrayLike,
    *,
    threshold: float = SRM_THRESHOLD,
    practical_deviation: float = PRACTICAL_DEVIATION,
) -> SrmTest:
    """One chi-square over phases of different weights: the statistics and their df add up.

    `counts` and `weights` are (…, phases, arms). Pooling the counts first would raise false alarms
    after every change of weights. Phases without units add nothing. `largest_deviation` is that of
    the arms' totals against the sum of the phases' expectations.

    >>> srm_test_over_phases([[500, 500], [900, 100]], [[1, 1], [9, 1]]).at().p_value
    1.0
    """
    each = srm_test(counts, weights, threshold=threshold, practical_deviation=practical_deviation)
    observed, share, planned = _counts_and_shares(counts, weights)
    observed = np.where(planned, observed, 0.0)
    filled = observed.sum(axis=-1) > 0
    expected = (share * observed.sum(axis=-1, keepdims=True)).sum(axis=-2)
    in_design = np.where(planned, observed, 0.0).sum(axis=-2)
    with np.errstate(divide="ignore", invalid="ignore"):
        deviation = np.nanmax(np.where(expected > 0, np.abs(in_design / expected - 1), 0.0), axis=-1)
    statistic = np.where(filled, each.statistic, 0.0).sum(axis=-1)
    df = np.where(filled, each.df, 0.0).sum(axis=-1)
    empty = ~filled.any(axis=-1)
    statistic = np.where(empty, np.nan, statistic)
    leaked = each.leaked.sum(axis=-1)
    total = observed.sum(axis=(-1, -2)) + leaked
    return SrmTest(
        p_value=np.asarray(_chi_square_tail(statistic, df), dtype=np.float64),
        statistic=statistic,
        df=df,
        largest_deviation=np.where(empty, np.nan, deviation),
        leaked=leaked,
        leak_share=np.divide(leaked, total, out=np.zeros_like(leaked), where=total > 0),
        threshold=threshold,
        practical_deviation=practical_deviation,
        reasons=_empty_reason(empty),
    )


def exact_srm_p_value(count: int, total: int, share: float) -> float:
    """Exact two-sided binomial p-value of one arm's `count` of `total` units at its `share`.

    For two arms of fewer than about 1,000 units; outcomes no likelier than the observed one count.
    Source: Clopper & Pearson's binomial law as in `scipy.stats.binomtest`.

    >>> round(exact_srm_p_value(480, 1_000, 0.5), 6)
    0.217448
    """
    from scipy import stats

    return float(stats.binomtest(count, total, share).pvalue)


def sequential_srm(
    counts: ArrayLike,
    weights: ArrayLike,
    *,
    concentration: float = SEQUENTIAL_CONCENTRATION,
    threshold: float = SRM_THRESHOLD,
    practical_deviation: float = PRACTICAL_DEVIATION,
) -> SrmTest:
    """Sequential SRM at one look: p = min(1, 1 / Bayes factor), valid at every look together.

    `counts` are (…, arms), cumulative. The alternative is Dirichlet(concentration × share). The
    number to report over looks is the running minimum: `accumulate_p_values` in
    `experiments.stats.sequential`. The statistic of the result is the log Bayes factor; factors of
    independent phases multiply (see `sequential_srm_over_phases`).

    Source: Lindon & Malek, "Anytime-Valid Inference for Multinomial Count Data" (NeurIPS 2022),
    equation 6.

    >>> check = sequential_srm([10_000, 10_500], [0.5, 0.5]).at()
    >>> round(check.statistic, 6), round(check.p_value, 8)
    (3.541091, 0.02898169)
    """
    test = srm_test(counts, weights, threshold=threshold, practical_deviation=practical_deviation)
    log_factor = _log_bayes_factor(counts, weights, concentration)
    return _with_log_factor(test, log_factor)


def sequential_srm_over_phases(
    counts: ArrayLike,
    weights: ArrayLike,
    *,
    concentration: float = SEQUENTIAL_CONCENTRATION,
    threshold: float = SRM_THRESHOLD,
    practical_deviation: float = PRACTICAL_DEVIATION,
) -> SrmTest:
    """Sequential SRM over phases: (…, phases, arms); the phases' Bayes factors multiply.

    >>> one = sequential_srm_over_phases([[10_000, 10_500], [0, 0]], [[1, 1], [9, 1]]).at()
    >>> round(one.p_value, 8)
    0.02898169
    """
    test = srm_test_over_phases(counts, weights, threshold=threshold, practical_deviation=practical_deviation)
    return _with_log_factor(test, _log_bayes_factor(counts, weights, concentration).sum(axis=-1))


def _with_log_factor(test: SrmTest, log_factor: FloatArray) -> SrmTest:
    empty = test.reasons != 0
    return SrmTest(
        p_value=np.where(empty, np.nan, np.exp(-np.maximum(log_factor, 0.0))),
        statistic=np.where(empty, np.nan, log_factor),
        df=test.df,
        largest_deviation=test.largest_deviation,
        leaked=test.leaked,
        leak_share=test.leak_share,
        threshold=test.threshold,
        practical_deviation=test.practical_deviation,
        reasons=test.reasons,
    )


def _log_bayes_factor(counts: ArrayLike, weights: ArrayLike, concentration: float) -> FloatArray:
    if not concentration > 0:
        raise ValueError(f"concentration must be positive, got {concentration}")
    observed, share, planned = _counts_and_shares(counts, weights)
    observed = np.where(planned, observed, 0.0)
    prior = np.where(planned, concentration * share, 1.0)
    rising = special.gammaln(prior) - special.gammaln(prior + observed)
    likelihood = observed * np.log(np.where(planned, share, 1.0))
    total = observed.sum(axis=-1)
    both = special.gammaln(concentration) - special.gammaln(concentration + total)
    return np.asarray(both - rising.sum(axis=-1) - likelihood.sum(axis=-1), dtype=np.float64)


def _counts_and_shares(counts: ArrayLike, weights: ArrayLike) -> tuple[FloatArray, FloatArray, BoolArray]:
    observed = np.asarray(counts, dtype=np.float64)
    weight = np.asarray(weights, dtype=np.float64)
    if observed.ndim == 0 or observed.shape[-1] < 2:
        raise ValueError(f"counts must hold two arms or more on the last axis, got shape {observed.shape}")
    if not np.all((observed >= 0) & np.isfinite(observed)):
        raise ValueError("counts must be finite and 0 or more")
    if not (np.all(weight >= 0) and np.all(weight.sum(axis=-1) > 0)):
        raise ValueError("weights must be 0 or more, with a positive sum")
    observed, weight = np.broadcast_arrays(observed, weight)
    return observed, weight / weight.sum(axis=-1, keepdims=True), weight > 0


def _chi_square_tail(statistic: FloatArray, df: FloatArray | IntArray) -> FloatArray:
    """P(chi-square ≥ statistic); with no degree of freedom there is nothing to deviate from: 1."""
    freedom = np.maximum(df, 1.0)
    return np.asarray(np.where(df > 0, special.chdtrc(freedom, statistic), statistic * 0 + 1.0), dtype=np.float64)


def _empty_reason(empty: BoolArray) -> ReasonArray:
    return np.where(empty, np.int8(Reason.TOO_FEW_UNITS), np.int8(0)).astype(np.int8)
