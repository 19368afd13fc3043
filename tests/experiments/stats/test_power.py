from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from experiments.stats.power import (
    Baseline,
    Design,
    PlanProblem,
    detectable_effect,
    guardrail_power,
    linear_delta_mde,
    mean_baseline,
    planned_power,
    power_of,
    proportion_baseline,
    sample_size,
    sample_size_for,
)
from experiments.stats.results import Alternative
from experiments.stats.sequential import Scale, confidence_sequence
from experiments.stats.standardized import arcsine_sample_size, t_power, t_sample_size


@settings(deadline=None)
@given(
    rate=st.floats(0.001, 0.5),
    mde=st.floats(0.02, 0.9),
    share=st.floats(0.05, 0.95),
    sequential=st.booleans(),
    scale=st.sampled_from(Scale),
)
def test_sample_size__power_and_mde__invert_each_other(
    rate: float, mde: float, share: float, sequential: bool, scale: Scale
) -> None:
    plan = Design(weights=(share, 1 - share), sequential=sequential, scale=scale)
    baseline = proportion_baseline(rate)
    total = sample_size(baseline, mde, design=plan).exact_total
    assert total is not None
    assert planned_power(baseline, mde, total, design=plan) == pytest.approx(0.8, abs=1e-4)
    assert detectable_effect(baseline, total, design=plan).mde == pytest.approx(mde, rel=1e-3)


def test_sample_size__three_arms__plans_for_the_smallest_treatment() -> None:
    plan = Design(weights=(0.5, 0.4, 0.1))
    told = sample_size(proportion_baseline(0.1), 0.1, design=plan)
    pair = sample_size(proportion_baseline(0.1), 0.1, design=Design(weights=(5, 1)))
    assert told.total is not None
    assert (told.control, told.treatment) == (pair.control, pair.treatment)
    assert told.exact_total == pytest.approx(pair.exact_total / 0.6 if pair.exact_total else None)


def test_sample_size__family_of_four__divides_alpha() -> None:
    one = sample_size(proportion_baseline(0.1), 0.1, design=Design(alpha=0.0125))
    four = sample_size(proportion_baseline(0.1), 0.1, design=Design(alpha=0.05, comparisons=4))
    assert one == four


def test_sample_size__cuped__scales_with_what_is_left() -> None:
    raw = sample_size(mean_baseline(10, 144), 0.05).exact_total
    reduced = sample_size(mean_baseline(10, 144, variance_reduction=0.4), 0.05).exact_total
    assert raw is not None
    assert reduced == pytest.approx(0.6 * raw)


@pytest.mark.parametrize(("power", "factor"), [(0.0, 1.0), (1.0, 1.2), (2.0, 1.44)])
def test_mean_baseline__variance_power__moves_the_treatments_variance(power: float, factor: float) -> None:
    assert mean_baseline(10, 144, variance_power=power).variance(0.2) == pytest.approx(144 * factor)


def test_sample_size__rate_would_pass_one__has_no_answer() -> None:
    told = sample_size(proportion_baseline(0.6), 0.7)
    assert (told.total, told.control, told.exact_total) == (None, None, None)
    assert told.problem is PlanProblem.OUTSIDE_RATE_RANGE


def test_sample_size__one_sided_against_the_effect__has_no_answer() -> None:
    told = sample_size(proportion_baseline(0.1), -0.1, design=Design(alternative=Alternative.GREATER))
    assert told.problem is PlanProblem.NOT_DETECTABLE


def test_sample_size__no_effect__is_refused() -> None:
    with pytest.raises(ValueError, match="mde"):
        sample_size(proportion_baseline(0.1), 0.0)


def test_sample_size__log_ratio__uses_relative_variances() -> None:
    told = sample_size(mean_baseline(10, 144), 0.1, design=Design(scale=Scale.LOG_RATIO))
    reach = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    expected = reach**2 * 2 * (144 / 100 + 144 / 121) / math.log(1.1) ** 2
    assert told.exact_total == pytest.approx(expected)


def test_detectable_effect__decrease__is_found_below() -> None:
    told = detectable_effect(proportion_baseline(0.1), 50_000, increase=False)
    assert told.mde is not None
    assert told.mde < 0
    assert planned_power(proportion_baseline(0.1), told.mde, 50_000) == pytest.approx(0.8)
    assert told.mde_abs == pytest.approx(told.mde * 0.1)


@pytest.mark.parametrize("baseline", [proportion_baseline(0.1), mean_baseline(10, 900)])
def test_detectable_effect__decrease_on_the_log_scale__is_found(baseline: Baseline) -> None:
    plan = Design(scale=Scale.LOG_RATIO)
    told = detectable_effect(baseline, 100_000, design=plan, increase=False)
    assert told.mde is not None
    assert -0.2 < told.mde < 0
    assert planned_power(baseline, told.mde, 100_000, design=plan) == pytest.approx(0.8)
    assert detectable_effect(baseline, 4, design=plan, increase=False).problem is PlanProblem.NOT_DETECTABLE


def test_planned_power__no_units__is_refused() -> None:
    with pytest.raises(ValueError, match="n_total"):
        detectable_effect(proportion_baseline(0.1), 0)


def test_detectable_effect__hardly_any_units__has_no_answer() -> None:
    assert detectable_effect(proportion_baseline(0.5), 4).problem is PlanProblem.NOT_DETECTABLE
    against = Design(alternative=Alternative.LESS)
    assert detectable_effect(proportion_baseline(0.1), 10_000, design=against).problem is PlanProblem.NOT_DETECTABLE


def test_linear_delta_mde__hardly_any_units__has_no_answer() -> None:
    assert linear_delta_mde(1.0, 100.0, 50).problem is PlanProblem.NOT_DETECTABLE


def test_power_of__one_sided__mirrors() -> None:
    up = power_of([2.0, -2.0], 1.0, design=Design(alternative=Alternative.GREATER))
    down = power_of([-2.0, 2.0], 1.0, design=Design(alternative=Alternative.LESS))
    assert up.tolist() == pytest.approx(down.tolist())
    assert float(up[0]) == pytest.approx(stats.norm.sf(stats.norm.ppf(0.95) - 2))


def test_power_of__no_effect__is_alpha() -> None:
    assert float(power_of(0.0, 1.0, design=Design(alpha=0.1))) == pytest.approx(0.1)


@pytest.mark.parametrize("alternative", Alternative)
def test_design__sequential__has_the_radius_of_the_sequence_at_its_planned_size(alternative: Alternative) -> None:
    plan = Design(sequential=True, alternative=alternative)
    look = confidence_sequence(0.0, 1.0, 500, 500, planned_units=1_000, alternative=alternative)
    bound = look.interval.upper if alternative is Alternative.LESS else -look.interval.lower
    assert plan.critical == pytest.approx(float(bound))


@pytest.mark.parametrize(
    "settings_given",
    [
        {"alpha": 0.0},
        {"power": 1.0},
        {"weights": (1.0,)},
        {"weights": (0.5, 0.0)},
        {"comparisons": 0},
    ],
)
def test_design__impossible__is_refused(settings_given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"alpha|weights|comparisons"):
        Design(**settings_given)


@pytest.mark.parametrize(("mean", "variance", "reduction"), [(0, 1, 0), (1, 0, 0), (1, 1, 1), (1, 1, -0.1)])
def test_mean_baseline__impossible__is_refused(mean: float, variance: float, reduction: float) -> None:
    with pytest.raises(ValueError, match="variance_reduction"):
        mean_baseline(mean, variance, variance_reduction=reduction)


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1])
def test_proportion_baseline__impossible__is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="rate"):
        proportion_baseline(rate)


def test_guardrail_power__negative_count__is_refused() -> None:
    with pytest.raises(ValueError, match="guardrails"):
        guardrail_power(0.8, -1)


def test_t_sample_size__arms_of_one_to_nine__has_an_answer() -> None:
    n = t_sample_size(0.1, ratio=1 / 9)
    assert t_power(0.1, n, n / 9) == pytest.approx(0.8, abs=1e-9)
    assert n == pytest.approx(7.8489 * 10 / 0.01, rel=0.002)


def test_t_sample_size__huge_effect__ends_at_two_per_arm() -> None:
    assert t_sample_size(500.0) == 2.0


@pytest.mark.parametrize("alternative", [Alternative.GREATER, Alternative.LESS])
def test_t_power__one_sided__agrees_with_draws(alternative: Alternative) -> None:
    sign = 1 if alternative is Alternative.GREATER else -1
    rng = np.random.default_rng(20261124)
    a, b = rng.normal(0, 1, (20_000, 12)), rng.normal(sign * 0.9, 1, (20_000, 15))
    found = stats.ttest_ind(b, a, axis=1, alternative=alternative.value).pvalue < 0.05
    assert t_power(sign * 0.9, 12, 15, design=Design(alternative=alternative)) == pytest.approx(found.mean(), abs=0.011)


def test_arcsine_sample_size__one_sided_decrease__agrees_with_the_formula() -> None:
    plan = Design(alternative=Alternative.LESS)
    h = 2 * (math.asin(math.sqrt(0.2)) - math.asin(math.sqrt(0.1)))
    expected = 2 * ((stats.norm.ppf(0.95) + stats.norm.ppf(0.8)) / h) ** 2
    assert arcsine_sample_size(0.2, 0.1, design=plan) == pytest.approx(expected, rel=1e-9)


def test_sample_size_for__by_simulation__gives_its_power() -> None:
    told = sample_size(proportion_baseline(0.05), 0.4, design=Design(weights=(0.3, 0.7)))
    assert told.control is not None
    assert told.treatment is not None
    rng = np.random.default_rng(20261124)
    c = rng.binomial(told.control, 0.05, 20_000) / told.control
    t = rng.binomial(told.treatment, 0.07, 20_000) / told.treatment
    z = (t - c) / np.sqrt(c * (1 - c) / told.control + t * (1 - t) / told.treatment)
    assert (np.abs(z) > 1.96).mean() == pytest.approx(0.8, abs=0.02)
    assert sample_size_for(0.02, 0.0475, 0.0651, design=Design(weights=(0.3, 0.7))).total == told.total
