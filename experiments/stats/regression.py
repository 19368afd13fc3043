"""Regression adjustment from aggregates: Lin's interacted regression and plain ANCOVA.

Lin: each arm has its own slopes, so the adjusted mean is ȳ_i − β_i'(x̄_i − x̄) with β_i from arm i
alone. It never hurts asymptotically, with unequal arms and effects that vary with x too, where a
common slope can. The variance is residual, per arm: RSS_i / (n_i − 1 − p) times
1 / n_i + (x̄_i − x̄)' SXX_i⁻¹ (x̄_i − x̄).

ANCOVA: one common slope and one residual variance, what OLS with an arm dummy does; it reproduces
engines that report it.

Units are a sample of the people to come, so the noise of x̄ itself counts too: the adjusted means
share β_i' Σ_x β_j / N. It cancels in the effect where the slopes are equal, and matters for lifts.

Sources: W. Lin, "Agnostic notes on regression adjustments to experimental data", Annals of Applied
Statistics 7 (2013), section 4; A. Negi, J. M. Wooldridge, "Revisiting regression adjustment in
experiments with heterogeneous treatment effects", Econometric Reviews 40 (2021), section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.stats.aggregates import Aggregates, Column
from experiments.stats.cuped import AdjustedComparison
from experiments.stats.estimates import Estimate, LiftMethod, compare
from experiments.stats.linear import quadratic, residual_gradient, solve, variance_of
from experiments.stats.mean import compare_means, enough_units
from experiments.stats.results import Alternative, FloatArray, Reason


@dataclass(frozen=True, slots=True)
class AdjustedArms:
    """Both arms' adjusted means with their covariance; `slopes` has shape (…, p) or (…, 2, p)."""

    control: Estimate
    treatment: Estimate
    covariance: FloatArray
    slopes: FloatArray


def interacted_means(
    control: Aggregates,
    treatment: Aggregates,
    *,
    outcome: Column = 0,
    covariates: Sequence[Column] = (1,),
    sampled_covariates: bool = True,
) -> AdjustedArms:
    """Lin's adjusted means; `slopes` stacks control's and treatment's, shape (…, 2, p).

    `sampled_covariates=False` takes the covariates as fixed, as row-level HC2 errors do.
    TOO_FEW_UNITS where an arm has no residual degree of freedom. Raises ValueError without covariates.

    >>> from experiments.stats.aggregates import aggregate
    >>> data = {"y": [1, 2, 4, 5, 3, 5, 6, 9], "x": [1, 2, 3, 4, 2, 3, 4, 5]}
    >>> cells = aggregate(data, groups=[0, 0, 0, 0, 1, 1, 1, 1])
    >>> interacted_means(cells[0], cells[1]).slopes.round(4).tolist()
    [[1.4], [1.9]]
    """
    _check(covariates)
    both = control.merge(treatment)
    df = [cells.n - 1 - len(covariates) for cells in (control, treatment)]
    estimates, slopes = [], []
    for cells, free in zip((control, treatment), df, strict=True):
        matrix = cells.covariance_matrix([outcome, *covariates])
        slope = solve(matrix[..., 1:, 1:], matrix[..., 1:, 0])
        with np.errstate(divide="ignore", invalid="ignore"):
            gap = cells.deviations(covariates) - both.deviations(covariates)
            squares = variance_of(cells, residual_gradient(cells, outcome, covariates, slope))
            residual = np.where(free > 0, squares * (cells.n - 1) / free, np.nan)
            leverage = 1 / cells.n + quadratic(matrix[..., 1:, 1:], gap, gap) / (cells.n - 1)
        estimates.append(_estimate(cells, outcome, (slope, gap), residual * leverage, free))
        slopes.append(slope)
    shared = np.zeros((2, 2))
    if sampled_covariates:
        spread = np.nan_to_num(both.covariance_matrix(covariates))
        with np.errstate(divide="ignore", invalid="ignore"):
            shared = np.array(
                [[np.einsum("...i,...ij,...j->...", a, spread, b) / both.n for b in slopes] for a in slopes]
            )
    stacked = np.stack(np.broadcast_arrays(*slopes), axis=-2)
    pair = [_plus(estimate, shared[i, i]) for i, estimate in enumerate(estimates)]
    return AdjustedArms(pair[0], pair[1], np.asarray(shared[0, 1]), stacked)


def ancova_means(
    control: Aggregates,
    treatment: Aggregates,
    *,
    outcome: Column = 0,
    covariates: Sequence[Column] = (1,),
    sampled_covariates: bool = True,
) -> AdjustedArms:
    """Adjusted means by OLS with one slope per covariate and one residual variance, N − 2 − p df.

    With `sampled_covariates` both means share the noise of x̄: (β'Σ_x β + tr(Cov(β) Σ_x)) / N.
    Without covariates the two means of Student's pooled t. `slopes` has shape (…, p).

    >>> from experiments.stats.aggregates import aggregate
    >>> data = {"y": [1, 2, 4, 5, 3, 5, 6, 9], "x": [1, 2, 3, 4, 1, 2, 3, 4]}
    >>> cells = aggregate(data, groups=[0, 0, 0, 0, 1, 1, 1, 1])
    >>> ancova_means(cells[0], cells[1]).slopes.round(4).tolist()
    [1.65]
    """
    both, p = control.merge(treatment), len(covariates)
    names: list[Column] = [outcome, *covariates]
    within = sum(
        (cells.covariance_matrix(names) * (cells.n - 1)[..., None, None] for cells in (control, treatment)),
        start=np.zeros(()),
    )
    inner, cross = within[..., 1:, 1:], within[..., 1:, 0]
    slope = solve(inner, cross) if p else cross
    df = both.n - 2 - p
    with np.errstate(divide="ignore", invalid="ignore"):
        squares = sum(
            (
                variance_of(cells, residual_gradient(cells, outcome, covariates, slope)) * (cells.n - 1)
                for cells in (control, treatment)
            ),
            start=np.zeros(()),
        )
        residual = np.where(df > 0, squares / df, np.nan)
    gaps = [
        cells.deviations(covariates) - both.deviations(covariates) if p else cross for cells in (control, treatment)
    ]
    shared = np.zeros(())
    if sampled_covariates and p:
        spread = np.nan_to_num(both.covariance_matrix(covariates))
        doubt = sum((quadratic(inner, axis, spread[..., i, :]) for i, axis in enumerate(np.eye(p))), start=np.zeros(()))
        shared = (np.einsum("...i,...ij,...j->...", slope, spread, slope) + residual * doubt) / both.n
    pair = []
    for cells, gap in zip((control, treatment), gaps, strict=True):
        with np.errstate(divide="ignore", invalid="ignore"):
            variance = residual * (1 / cells.n + quadratic(inner, gap, gap)) + shared
        pair.append(_estimate(cells, outcome, (slope, gap), variance, df))
    covariance = residual * quadratic(inner, gaps[0], gaps[1]) + shared
    return AdjustedArms(pair[0], pair[1], covariance, slope)


def compare_interacted(
    control: Aggregates,
    treatment: Aggregates,
    *,
    outcome: Column = 0,
    covariates: Sequence[Column] = (1,),
    alpha: float = 0.05,
    alternative: Alternative = Alternative.TWO_SIDED,
    lift_method: LiftMethod = LiftMethod.LOG_RATIO,
    sampled_covariates: bool = True,
) -> AdjustedComparison:
    """Lin's estimate of the average effect with the raw comparison beside it; batches broadcast.

    `theta` of the result stacks the slopes of control and treatment; see `interacted_means`.

    >>> from experiments.stats.aggregates import aggregate
    >>> data = {"y": [1, 2, 4, 5, 3, 5, 6, 9], "x": [1, 2, 3, 4, 1, 2, 3, 4]}
    >>> cells = aggregate(data, groups=[0, 0, 0, 0, 1, 1, 1, 1])
    >>> result = compare_interacted(cells[0], cells[1])
    >>> round(result.adjusted.at().effect, 6), result.theta.round(4).tolist()
    (2.75, [[1.4], [1.9]])
    """
    arms = interacted_means(
        control, treatment, outcome=outcome, covariates=covariates, sampled_covariates=sampled_covariates
    )
    adjusted = compare(
        arms.control,
        arms.treatment,
        alpha=alpha,
        alternative=alternative,
        lift_method=lift_method,
        covariance=arms.covariance,
        method="lin",
    )
    raw = compare_means(
        control, treatment, column=outcome, alpha=alpha, alternative=alternative, lift_method=lift_method
    )
    return AdjustedComparison(raw, adjusted, arms.slopes, _saved(raw.standard_error, adjusted.standard_error))


def compare_ancova(
    control: Aggregates,
    treatment: Aggregates,
    *,
    outcome: Column = 0,
    covariates: Sequence[Column] = (1,),
    alpha: float = 0.05,
    alternative: Alternative = Alternative.TWO_SIDED,
    lift_method: LiftMethod = LiftMethod.LOG_RATIO,
    sampled_covariates: bool = False,
) -> AdjustedComparison:
    """OLS on an arm dummy and covariates, with the raw comparison beside it; see `ancova_means`.

    Its errors are wrong with unequal arms and variances: prefer `compare_interacted`.

    >>> from experiments.stats.aggregates import aggregate
    >>> data = {"y": [1, 2, 4, 5, 3, 5, 6, 9], "x": [1, 2, 3, 4, 1, 2, 3, 4]}
    >>> cells = aggregate(data, groups=[0, 0, 0, 0, 1, 1, 1, 1])
    >>> result = compare_ancova(cells[0], cells[1])
    >>> round(result.adjusted.at().effect, 6), result.adjusted.at().df
    (2.75, 5.0)
    """
    arms = ancova_means(
        control, treatment, outcome=outcome, covariates=covariates, sampled_covariates=sampled_covariates
    )
    adjusted = compare(
        arms.control,
        arms.treatment,
        alpha=alpha,
        alternative=alternative,
        lift_method=lift_method,
        covariance=arms.covariance,
        df=arms.control.df,
        method="ancova",
    )
    raw = compare_means(
        control, treatment, column=outcome, alpha=alpha, alternative=alternative, lift_method=lift_method
    )
    return AdjustedComparison(raw, adjusted, arms.slopes, _saved(raw.standard_error, adjusted.standard_error))


def _check(covariates: Sequence[Column]) -> None:
    if not covariates:
        raise ValueError("covariates must name at least one column")


def _estimate(
    cells: Aggregates,
    outcome: Column,
    shift: tuple[FloatArray, FloatArray],
    variance: FloatArray,
    df: FloatArray,
) -> Estimate:
    slope, gap = shift
    return Estimate(
        deviation=cells.deviation(outcome) - np.einsum("...i,...i->...", slope, gap),
        variance=variance,
        df=df,
        origin=cells.origin(outcome),
        reasons=np.where(df > 0, enough_units(cells), np.int8(Reason.TOO_FEW_UNITS)),
    )


def _plus(estimate: Estimate, variance: FloatArray) -> Estimate:
    return Estimate(estimate.deviation, estimate.variance + variance, estimate.df, estimate.origin, estimate.reasons)


def _saved(before: FloatArray, after: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(before > 0, 1 - np.square(after / before), np.nan)
