"""CUPED: less variance from covariates measured before exposure.

adjusted_i = y_i − θ'(x_i − x̄), with x̄ the covariates' mean over both arms and
θ = Cov(x)⁻¹ Cov(x, y) over both arms together (n_C + n_T − 1, the part between arms included). The
adjusted values are then compared as means (Welch). A covariate must be known before the first
exposure; a person without one gets `fill_missing`, never a dropped row.

Ratio outcomes and covariates enter through their delta-method linear forms.

Sources: A. Deng, Y. Xu, R. Kohavi, T. Walker, "Improving the sensitivity of online controlled
experiments by utilizing pre-experiment data", WSDM 2013, equations 2–6 and appendix B for ratios.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from experiments.stats.aggregates import Aggregates, Column
from experiments.stats.estimates import Estimate, LiftMethod, compare, significance
from experiments.stats.linear import Linear, Term, covariance_of, covariances, is_ratio, linearize, solve, variance_of
from experiments.stats.mean import compare_means, enough_units
from experiments.stats.results import Alternative, Comparison, FloatArray, Reason, first_reason


class Theta(StrEnum):
    """Where θ comes from: both arms as one sample (default), or the sum of the arms' covariances.

    WITHIN_ARMS leaves the between-arm part out and linearizes each arm at its own means; one engine
    does so for ratios. Both tend to the same θ.
    """

    POOLED = "pooled"
    WITHIN_ARMS = "within-arms"


class LiftBase(StrEnum):
    """What the adjusted effect is divided by: the adjusted (default) or the plain control value."""

    ADJUSTED = "adjusted"
    UNADJUSTED = "unadjusted"


@dataclass(frozen=True, slots=True)
class Adjustment:
    """Both arms adjusted: what `compare` needs, and what was done.

    `theta` has shape (…, p), one coefficient per covariate; the plain estimates are kept for the
    variance saved.
    """

    control: Estimate
    treatment: Estimate
    plain_control: Estimate
    plain_treatment: Estimate
    theta: FloatArray

    @property
    def variance_saved(self) -> FloatArray:
        """1 − Var(adjusted effect) / Var(plain effect); NaN where there is no variance."""
        before = self.plain_control.variance + self.plain_treatment.variance
        after = self.control.variance + self.treatment.variance
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(before > 0, 1 - after / before, np.nan)


@dataclass(frozen=True, slots=True)
class AdjustedComparison:
    """The raw and the adjusted comparison side by side, with θ and the variance saved."""

    raw: Comparison
    adjusted: Comparison
    theta: FloatArray
    variance_saved: FloatArray


def adjust(
    control: Aggregates,
    treatment: Aggregates,
    *,
    outcome: Term = 0,
    covariates: Sequence[Term] = (1,),
    theta: Theta = Theta.POOLED,
    ddof: int = 1,
) -> Adjustment:
    """Adjust both arms of a comparison; batches broadcast, both must share shifts.

    θ = 0 where a covariate is constant, so the comparison falls back to the plain one. `ddof=0`
    divides covariances by n (the binomial p(1 − p) where outcome and covariate are both 0/1).
    Raises ValueError without covariates or for another ddof.

    >>> from experiments.stats.aggregates import aggregate
    >>> data = {"y": [1.0, 2.0, 4.0, 3.0, 4.0, 5.0], "x": [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]}
    >>> cells = aggregate(data, groups=[0, 0, 0, 1, 1, 1])
    >>> result = adjust(cells[0], cells[1])
    >>> round(float(result.theta[0]), 6), round(float(result.variance_saved), 6)
    (1.25, 0.9375)
    """
    if not covariates:
        raise ValueError("covariates must name at least one column")
    if ddof not in (0, 1):
        raise ValueError(f"ddof must be 0 or 1, got {ddof}")
    both = control.merge(treatment)
    centre = [linearize(both, x) for x in covariates]
    arms = [
        (cells, linearize(cells, outcome), [linearize(cells, x) for x in covariates]) for cells in (control, treatment)
    ]
    if theta == Theta.POOLED:
        gradients = [linearize(both, outcome).gradient, *(x.gradient for x in centre)]
        matrix = covariances(both, gradients)
    else:
        matrix = sum(
            (covariances(cells, [y.gradient, *(x.gradient for x in xs)]) for cells, y, xs in arms),
            start=np.zeros(()),
        )
    coefficients = solve(matrix[..., 1:, 1:], matrix[..., 1:, 0])
    estimates = [_adjusted(arm, centre, coefficients, ddof) for arm in arms]
    plain = [_adjusted(arm, centre, np.zeros_like(coefficients), ddof) for arm in arms]
    return Adjustment(estimates[0], estimates[1], plain[0], plain[1], coefficients)


def compare_adjusted(
    control: Aggregates,
    treatment: Aggregates,
    *,
    outcome: Term = 0,
    covariates: Sequence[Term] = (1,),
    alpha: float = 0.05,
    alternative: Alternative = Alternative.TWO_SIDED,
    lift_method: LiftMethod = LiftMethod.LOG_RATIO,
    lift_base: LiftBase = LiftBase.ADJUSTED,
    theta: Theta = Theta.POOLED,
    ddof: int = 1,
) -> AdjustedComparison:
    """Raw and CUPED-adjusted comparison of a mean, proportion or ratio; batches broadcast.

    With `LiftBase.UNADJUSTED` the lift is the adjusted effect over the plain control value with the
    linear delta method (GrowthBook's convention); the default is the log ratio of adjusted values.

    >>> from experiments.stats.aggregates import aggregate
    >>> data = {"y": [1.0, 2.0, 4.0, 3.0, 4.0, 5.0], "x": [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]}
    >>> cells = aggregate(data, groups=[0, 0, 0, 1, 1, 1])
    >>> result = compare_adjusted(cells[0], cells[1])
    >>> round(result.adjusted.at().effect, 6), result.adjusted.at().p_value < result.raw.at().p_value
    (1.666667, True)
    """
    adjustment = adjust(control, treatment, outcome=outcome, covariates=covariates, theta=theta, ddof=ddof)
    adjusted = compare(
        adjustment.control,
        adjustment.treatment,
        alpha=alpha,
        alternative=alternative,
        lift_method=lift_method,
        method="cuped",
    )
    if lift_base == LiftBase.UNADJUSTED:
        terms = (outcome, tuple(covariates), ddof)
        adjusted = _unadjusted_lift(
            adjusted, adjustment, (control, treatment), terms, alpha=alpha, alternative=alternative
        )
    raw = compare(
        adjustment.plain_control,
        adjustment.plain_treatment,
        alpha=alpha,
        alternative=alternative,
        lift_method=lift_method,
        method="welch",
    )
    return AdjustedComparison(raw, adjusted, adjustment.theta, adjustment.variance_saved)


def pre_exposure_bias(
    control: Aggregates, treatment: Aggregates, *, covariate: Column = 1, alpha: float = 0.001
) -> Comparison:
    """Compare the arms on a covariate from before exposure, where no effect can be.

    A p-value under `alpha` (0.001, as for sample-ratio mismatch) says that the arms differed before
    anything was done: the assignment is broken, or the covariate was measured after exposure.

    >>> from experiments.stats.aggregates import aggregate
    >>> data = {"y": [1.0, 2.0, 4.0, 3.0, 4.0, 5.0], "x": [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]}
    >>> cells = aggregate(data, groups=[0, 0, 0, 1, 1, 1])
    >>> pre_exposure_bias(cells[0], cells[1]).at().p_value
    1.0
    """
    return compare_means(control, treatment, column=covariate, alpha=alpha)


def _adjusted(
    arm: tuple[Aggregates, Linear, list[Linear]], centre: list[Linear], theta: FloatArray, ddof: int
) -> Estimate:
    cells, y, xs = arm
    deviation, gradient = y.deviation, y.gradient
    for j, (x, middle) in enumerate(zip(xs, centre, strict=True)):
        known = theta[..., j]
        deviation = deviation - known * np.where(known == 0, 0.0, x.deviation - middle.deviation)
        gradient = gradient - known[..., None] * np.where(known[..., None] == 0, 0.0, x.gradient)
    n = cells.n
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = variance_of(cells, gradient) / n
        if ddof == 0:
            variance = variance * ((n - 1) / n)
    few = enough_units(cells)
    zero = (few == 0) & np.isnan(y.deviation) & np.isfinite(cells.sums).all(axis=-1)
    reasons = np.where(zero, np.int8(Reason.ZERO_DENOMINATOR), few)
    return Estimate(deviation, variance, n - 1, origin=y.origin, reasons=reasons)


def _unadjusted_lift(
    adjusted: Comparison,
    adjustment: Adjustment,
    arms: tuple[Aggregates, Aggregates],
    terms: tuple[Term, tuple[Term, ...], int],
    *,
    alpha: float,
    alternative: Alternative,
) -> Comparison:
    """The adjusted effect over the plain control value, with the covariance of the two.

    R = D / m_C; V(R) m_C² = V(adjusted T) + V(k y_C − θ'x_C), where k, the slope on the control's own
    value, is m_T / m_C for means and 1 + R for ratios (equal in the limit), as GrowthBook has it.
    """
    outcome, covariates, ddof = terms
    control = arms[0]
    base = adjustment.plain_control.value
    y = linearize(control, outcome)
    with np.errstate(divide="ignore", invalid="ignore"):
        lift = adjusted.effect / base
        slope = 1 + lift if is_ratio(outcome) else adjustment.plain_treatment.value / base
        gradient = slope[..., None] * y.gradient
        for j, x in enumerate(covariates):
            gradient = gradient - adjustment.theta[..., j, None] * linearize(control, x).gradient
        variance = covariance_of(control, gradient, gradient) / control.n
        if ddof == 0:
            variance = variance * ((control.n - 1) / control.n)
        ratio_error = np.sqrt((adjustment.treatment.variance + variance) / np.square(base))
    defined = (base > 0) & (adjusted.reasons == 0)
    lift, ratio_error = np.where(base > 0, lift, np.nan), np.where(defined, ratio_error, np.nan)
    test = significance(lift, ratio_error, adjusted.df, alpha=alpha, alternative=alternative, method="linear")
    reasons = first_reason(
        [(adjusted.reasons != 0, adjusted.reasons), (~(base > 0), Reason.NON_POSITIVE_MEAN)], lift.shape
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        log_error = ratio_error / (1 + lift)
    return replace(
        adjusted,
        lift=lift,
        log_ratio_standard_error=log_error,
        lift_ci=test.interval,
        lift_p_value=test.p_value,
        lift_reasons=reasons,
    )
