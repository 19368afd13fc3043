"""What cannot be told: NaN with a reason in arrays, a ValueError for impossible arguments, never a warning."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from experiments.stats import (
    bayes,
    capping,
    cuped,
    guardrail,
    heterogeneity,
    mean,
    multiplicity,
    planning,
    power,
    ratio,
    regression,
    rows,
    sequential,
    srm,
    standardized,
    stratification,
    validity,
)
from experiments.stats.aggregates import Aggregates, aggregate, from_sums
from experiments.stats.count import compare_rates
from experiments.stats.estimates import compare, estimate
from experiments.stats.exact import compare_by_regime, compare_exact
from experiments.stats.group_sequential import group_bounds, repeated_p_value
from experiments.stats.proportion import ProportionInterval, compare_proportions
from experiments.stats.results import Alternative, Comparison, Reason
from experiments.stats.sequential import Scale

pytestmark = pytest.mark.filterwarnings("error")

NAN, INF = math.nan, math.inf
GREATER = power.Design(alternative=Alternative.GREATER)


def cells(n: list[float], sums: list[float], squares: list[float]) -> Aggregates:
    products = {("y", "y"): squares, ("x", "x"): squares, ("y", "x"): squares}
    return from_sums(["y", "x"], count=n, sums=[sums, sums], products=products)


METHODS: dict[str, Callable[[Aggregates, Aggregates], Comparison]] = {
    "mean": mean.compare_means,
    "pooled": lambda c, t: mean.compare_means(c, t, equal_variance=True),
    "ratio": ratio.compare_ratios,
    "cuped": lambda c, t: cuped.compare_adjusted(c, t).adjusted,
    "cuped, plain base": lambda c, t: cuped.compare_adjusted(c, t, lift_base=cuped.LiftBase.UNADJUSTED).adjusted,
    "cuped, ratio": lambda c, t: cuped.compare_adjusted(c, t, outcome=("y", "x")).adjusted,
    "lin": lambda c, t: regression.compare_interacted(c, t).adjusted,
    "ancova": lambda c, t: regression.compare_ancova(c, t).adjusted,
}


@pytest.mark.parametrize("method", METHODS)
def test_comparison__rows_without_an_answer__have_reasons(method: str) -> None:
    control = cells([0, 1, 10, NAN, INF, 10], [0, 1, NAN, 5, 5, 0], [0, 1, 50, 9, 9, 0])
    told = METHODS[method](control, cells([10.0] * 6, [25.0] * 6, [80.0] * 6))
    assert np.array_equal(np.isnan(told.p_value), told.reasons != 0)
    assert np.array_equal(np.isnan(told.lift_ci.lower), told.lift_reasons != 0)
    assert told.reasons[:3].tolist() == [Reason.TOO_FEW_UNITS, Reason.TOO_FEW_UNITS, Reason.NOT_FINITE]
    assert told.lift_reasons[:3].tolist() == told.reasons[:3].tolist()
    assert (told.reasons[:5] != 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_comparison__no_cells__empty(method: str) -> None:
    none = cells([], [], [])
    assert METHODS[method](none, none).p_value.shape == (0,)


@pytest.mark.parametrize("unit", [1e-100, 1e-60, 1.0, 1e60, 1e100])
def test_comparison__any_unit__same_p_values(unit: float) -> None:
    control, treatment = [1.0, 2.0, 1.5], [2.0, 2.5, 2.2]
    arms = [aggregate({"y": unit * np.array(y)}) for y in (control, treatment)]
    plain = mean.compare_means(aggregate({"y": control}), aggregate({"y": treatment})).at()
    told = mean.compare_means(*arms).at()
    assert told.p_value == pytest.approx(stats.ttest_ind(treatment, control, equal_var=False).pvalue, rel=1e-12)
    assert told.lift_p_value == pytest.approx(plain.lift_p_value, rel=1e-9)


@pytest.mark.parametrize("interval", ProportionInterval)
def test_proportions__counts_missing__not_finite(interval: ProportionInterval) -> None:
    told = compare_proportions([10, None, 5, 5, 0], [100, 100, NAN, INF, 0], 12, 100, interval=interval)  # type: ignore[arg-type]  # None is what a row without data holds
    assert told.reasons.tolist() == [0, *[Reason.NOT_FINITE] * 3, Reason.TOO_FEW_UNITS]
    assert np.isnan(told.p_value).tolist() == [False, True, True, True, True]


def test_exact__counts_missing__not_finite_and_the_rest_told() -> None:
    told = compare_exact([3, NAN, 3, 0], [50, 50, INF, 0], 9, 60)
    assert told.reasons.tolist() == [0, Reason.NOT_FINITE, Reason.NOT_FINITE, Reason.TOO_FEW_UNITS]
    assert told.method == "boschloo"
    assert compare_by_regime([30, NAN], 100, 40, 100).comparison.reasons.tolist() == [0, Reason.NOT_FINITE]


def test_estimates__no_degree_of_freedom__too_few() -> None:
    assert compare(estimate(1.0, 0.1, 0), estimate(2.0, 0.1, 0)).at().reason == Reason.TOO_FEW_UNITS


def test_rates__events_missing__not_finite() -> None:
    told = compare_rates([5, NAN, 0], 10.0, [5, 3, 0], 10.0)
    assert told.reasons.tolist() == [0, Reason.NOT_FINITE, Reason.TOO_FEW_EVENTS]
    assert np.isnan(told.p_value).tolist() == np.isnan(told.lift_ci.upper).tolist() == [False, True, True]


@pytest.mark.parametrize("scale", Scale)
def test_sequence__rows_without_an_answer__have_reasons(scale: Scale) -> None:
    told = sequential.confidence_sequence(
        [0.1, NAN, INF, 0.1, 0.1, 0.1],
        [0.1, 0.1, 0.1, 0, NAN, 0.1],
        [9, 9, 9, 9, 9, INF],
        9,
        planned_units=99,
        scale=scale,
    )
    few, lost, none = Reason.TOO_FEW_UNITS, Reason.NOT_FINITE, Reason.NO_VARIANCE
    assert told.reasons.tolist() == [0, lost, lost, none, lost, few]
    assert np.array_equal(np.isnan(told.p_value), told.reasons != 0)


def test_others__rows_without_an_answer__are_left_out() -> None:
    segments = heterogeneity.segment_effects([0.1, 0.2, 0.3], [0.1, INF, 0.1], 100, 100)
    assert segments.shown.tolist() == [True, False, True]
    assert guardrail.non_inferiority([0.1, 0.1], 0.1, margin=[0.1, NAN]).reasons.tolist() == [0, Reason.NOT_FINITE]
    assert validity.twyman_flag(NAN, [0.1] * 12).deviations is None
    assert multiplicity.adjust_e_values([INF, NAN, 3]).p_values[0] == 0.0
    assert bayes.chance_to_be_best(np.zeros((0, 3)), 1.0).shape == (0, 3)
    less = power.sample_size_for(-0.1, 1.0, 1.0, design=GREATER)
    assert less.problem == power.PlanProblem.NOT_DETECTABLE


def test_group_bounds__looks_too_close__refused_and_near_ones_right() -> None:
    wide, near = group_bounds([0.5, 0.501, 1.0]).z, group_bounds([0.5, 0.50002, 1.0]).z
    assert near[2] == pytest.approx(group_bounds([0.5, 1.0]).z[1], abs=2e-4)
    assert abs(near[2] - wide[2]) < 2e-4
    with pytest.raises(ValueError, match="too close together"):
        group_bounds([0.5, 0.5 + 1e-8, 1.0])


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "infinite value": (lambda: aggregate({"y": [-INF, INF]}), "values must be finite"),
    "huge value": (lambda: aggregate({"y": [1e200, 2e200]}), "too large"),
    "exposure": (lambda: compare_rates(5, NAN, 5, 10.0), "exposure must be positive and finite"),
    "no strata": (lambda: stratification.compare_stratified(cells([], [], []), cells([], [], [])), "one or more"),
    "NaN cap": (lambda: capping.percentile_cap([1, NAN], upper=50), "must not be NaN"),
    "zero denominators": (
        lambda: rows.poisson_bootstrap([1], [2], control_denominator=[0], rng=np.random.default_rng(1)),
        "must not add up to 0",
    ),
    "no units to rank": (lambda: rows.mann_whitney([], [1, 2]), "at least one unit"),
    "infinite counts": (lambda: srm.srm_test([INF, 5], [1, 1]), "finite and 0 or more"),
    "missing exposures": (lambda: validity.multiple_exposure([NAN, 5], [0, 0]), "multiple ≤ exposed"),
    "missing days": (lambda: validity.novelty_test([0.1, NAN, 0.2], [0.1] * 3, [1, 2, 3]), "finite effects"),
    "family alpha": (lambda: multiplicity.adjust([0.1], alpha=1.0), "alpha must be in"),
    "e alpha": (lambda: multiplicity.adjust_e_values([0.1], alpha=0.0), "alpha must be in"),
    "margin alpha": (lambda: guardrail.non_inferiority(0.1, 0.1, margin=0.1, alpha=2.0), "alpha must be in"),
    "ceiling alpha": (lambda: guardrail.ceiling_test(1, 9, ceiling=0.1, alpha=0.0), "alpha must be in"),
    "look alpha": (lambda: guardrail.sequential_ceiling_test(1, 9, ceiling=0.1, alpha=0.0), "alpha must be in"),
    "level": (lambda: bayes.normal_posterior(0.1, 0.1, level=1.5), "level must be in"),
    "beta level": (lambda: bayes.beta_posterior(1, 9, 2, 9, level=0.0), "level must be in"),
    "segments level": (lambda: heterogeneity.segment_effects(0.1, 0.1, 99, 99, level=0.0), "level must be in"),
    "cells level": (
        lambda: heterogeneity.experiment_interaction(np.ones((2, 2)), 1.0, 9, level=0.0),
        "level must be in",
    ),
    "power under alpha": (lambda: power.Design(power=0.01), "power must exceed alpha"),
    "no effect": (lambda: power.sample_size_for(0.0, 1.0, 1.0), "effect must not be 0"),
    "impossible rate": (lambda: power.planned_power(power.proportion_baseline(0.5), 1.5, 100), "mde must lie between"),
    "log of a negative mean": (
        lambda: power.sample_size(power.mean_baseline(-5, 1), 0.1, design=power.Design(scale=Scale.LOG_RATIO)),
        "positive mean",
    ),
    "calculator mean": (lambda: power.linear_delta_power(0, 144.0, 0.1, 500), "mean must not be 0"),
    "calculator size": (lambda: power.linear_delta_mde(10, 144.0, 0), "n_per_arm must be positive"),
    "equal rates": (lambda: standardized.arcsine_sample_size(0.1, 0.1), "rates must differ"),
    "falling rates": (lambda: standardized.arcsine_sample_size(0.2, 0.1, design=GREATER), "other side"),
    "d of 0": (lambda: standardized.t_sample_size(0.0), "d must not be 0"),
    "negative d": (lambda: standardized.t_sample_size(-0.1, design=GREATER), "other side"),
    "z": (lambda: repeated_p_value(NAN, [0.5]), "z must be a number"),
    "units": (lambda: planning.duration(NAN, planning.steady_uniques(5)), "units and window_days"),
    "curve": (lambda: planning.fit_uniques([1, NAN, 3]), "finite numbers that never falls"),
    "target": (lambda: planning.remaining(NAN, 0.1, 100), "target_effect must not be 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_arguments__impossible__value_error_that_names_them(case: str) -> None:
    call, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        call()
