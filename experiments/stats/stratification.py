"""Post-stratification: effects within strata, weighted by the strata's shares of both arms.

What differs between strata cannot be mistaken for an effect (Simpson's paradox after a change of
allocation), and the between-strata variance is gone. The shares are estimated from the same units,
so their multinomial noise counts too: Cov = Σ ν_k² Cov_k + α Cov(ν) α'. Works on plain and on
adjusted values; each stratum has its own slopes.

Sources: L. W. Miratrix, J. S. Sekhon, B. Yu, "Adjusting treatment effect estimates by
post-stratification in randomized experiments", JRSS B 75 (2013); H. Xie, J. Aurisset, "Improving the
sensitivity of online controlled experiments: case studies at Netflix", KDD 2016, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from experiments.stats.aggregates import Aggregates
from experiments.stats.cuped import adjust
from experiments.stats.estimates import Estimate, LiftMethod, compare, welch_df
from experiments.stats.linear import Term, is_ratio, linearize, variance_of
from experiments.stats.mean import enough_units
from experiments.stats.regression import AdjustedArms, ancova_means, interacted_means
from experiments.stats.results import Alternative, BoolArray, Comparison, FloatArray, Reason

MIN_STRATUM_UNITS = 2  # per arm; a smaller stratum has no variance and is left out, see `coverage`


class StratumModel(StrEnum):
    """How covariates adjust within a stratum: CUPED, ANCOVA (one engine's way) or Lin."""

    CUPED = "cuped"
    ANCOVA = "ancova"
    LIN = "lin"


@dataclass(frozen=True, slots=True)
class StratifiedComparison:
    """The post-stratified comparison, the plain one beside it, and the share of units it covers.

    `weights` are the strata's shares, shape (…, S), 0 for strata left out; `coverage` is the share of
    all units in the strata that were used.
    """

    raw: Comparison
    adjusted: Comparison
    weights: FloatArray
    coverage: FloatArray


def compare_stratified(
    control: Aggregates,
    treatment: Aggregates,
    *,
    outcome: Term = 0,
    covariates: Sequence[Term] = (),
    model: StratumModel = StratumModel.CUPED,
    alpha: float = 0.05,
    alternative: Alternative = Alternative.TWO_SIDED,
    lift_method: LiftMethod = LiftMethod.LOG_RATIO,
) -> StratifiedComparison:
    """Post-stratify over the last axis of the batch: (…, S) → (…).

    A stratum with fewer than two units in an arm cannot be compared and is left out (merge small
    strata before). Degrees of freedom are Welch's of the unstratified arms. Raises ValueError for
    aggregates without strata on the last axis, and for a ratio with a regression model.

    >>> from experiments.stats.aggregates import aggregate
    >>> data = {"y": [1, 2, 11, 12, 13, 3, 4, 5, 12, 14]}
    >>> cells = aggregate(data, groups=[0, 0, 1, 1, 1, 2, 2, 2, 3, 3])
    >>> result = compare_stratified(cells[:2], cells[2:])
    >>> round(result.raw.at().effect, 4), round(result.adjusted.at().effect, 4)
    (-0.2, 1.75)
    """
    if not control.shape or not treatment.shape or not control.shape[-1]:
        raise ValueError("the last axis of the batch must hold the strata, one or more")
    if model != StratumModel.CUPED and any(is_ratio(term) for term in (outcome, *covariates)):
        raise ValueError("a ratio can be adjusted by CUPED only")
    arms = _arms(control, treatment, outcome, covariates, model)
    usable = (control.count >= MIN_STRATUM_UNITS) & (treatment.count >= MIN_STRATUM_UNITS)
    usable = usable & np.isfinite(arms.control.variance + arms.treatment.variance)
    units = control.n + treatment.n
    used = np.where(usable, units, 0.0)
    total = used.sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = np.where(total[..., None] > 0, used / total[..., None], 0.0)
        coverage = total / units.sum(axis=-1)
    merged = (control.total(-1), treatment.total(-1))
    df = welch_df(*_cuped(*merged, outcome, covariates))
    pooled = _pool(arms, weights, usable, total)
    adjusted = compare(
        pooled.control,
        pooled.treatment,
        alpha=alpha,
        alternative=alternative,
        lift_method=lift_method,
        covariance=pooled.covariance,
        df=df,
        method="post-stratified",
    )
    raw = compare(
        *_cuped(*merged, outcome, ()), alpha=alpha, alternative=alternative, lift_method=lift_method, method="welch"
    )
    return StratifiedComparison(raw, adjusted, weights, coverage)


def _arms(
    control: Aggregates, treatment: Aggregates, outcome: Term, covariates: Sequence[Term], model: StratumModel
) -> AdjustedArms:
    if covariates and model != StratumModel.CUPED:
        means = ancova_means if model == StratumModel.ANCOVA else interacted_means
        columns = [term for term in covariates if not isinstance(term, tuple)]
        assert not isinstance(outcome, tuple)  # checked by the caller
        return means(control, treatment, outcome=outcome, covariates=columns)
    pair = _cuped(control, treatment, outcome, covariates)
    return AdjustedArms(pair[0], pair[1], np.zeros(()), np.zeros((0,)))


def _cuped(
    control: Aggregates, treatment: Aggregates, outcome: Term, covariates: Sequence[Term]
) -> tuple[Estimate, Estimate]:
    if covariates:
        adjustment = adjust(control, treatment, outcome=outcome, covariates=covariates)
        return adjustment.control, adjustment.treatment
    return _plain(control, outcome), _plain(treatment, outcome)


def _plain(cells: Aggregates, outcome: Term) -> Estimate:
    form = linearize(cells, outcome)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = variance_of(cells, form.gradient) / cells.n
    return Estimate(form.deviation, variance, cells.n - 1, form.origin, enough_units(cells))


def _pool(arms: AdjustedArms, weights: FloatArray, usable: BoolArray, total: FloatArray) -> AdjustedArms:
    """Weighted means of the strata with the noise within strata and of the shares themselves."""
    c, t = (np.where(usable, e.deviation, 0.0) for e in (arms.control, arms.treatment))
    within = [
        np.where(usable, np.square(weights) * v, 0.0).sum(axis=-1)
        for v in (arms.control.variance, arms.treatment.variance, arms.covariance)
    ]
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = [_share_noise(a, b, weights) / total for a, b in ((c, c), (t, t), (c, t))]
    reasons = np.where(total > 0, np.int8(0), np.int8(Reason.TOO_FEW_UNITS))
    pooled = [
        Estimate(
            deviation=(weights * deviation).sum(axis=-1),
            variance=within[i] + shares[i],
            df=np.full(total.shape, np.inf),
            origin=np.broadcast_to(e.origin, usable.shape)[..., 0],
            reasons=reasons,
        )
        for i, (deviation, e) in enumerate(((c, arms.control), (t, arms.treatment)))
    ]
    return AdjustedArms(pooled[0], pooled[1], within[2] + shares[2], arms.slopes)


def _share_noise(first: FloatArray, second: FloatArray, weights: FloatArray) -> FloatArray:
    """Σ ν a b − (Σ ν a)(Σ ν b): what the multinomial shares add, times n."""
    centred_a = first - (weights * first).sum(axis=-1, keepdims=True)
    centred_b = second - (weights * second).sum(axis=-1, keepdims=True)
    return np.asarray((weights * centred_a * centred_b).sum(axis=-1))
