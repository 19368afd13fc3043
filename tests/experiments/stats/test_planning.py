from __future__ import annotations

import math

import numpy as np
import pytest

from experiments.stats.planning import (
    Duration,
    duration,
    fit_uniques,
    power_with_prior,
    remaining,
    remaining_days,
    steady_uniques,
    unique_curve,
)
from experiments.stats.power import Design, PlanProblem, power_of
from experiments.stats.results import Alternative


def test_unique_curve__returning_units__count_once() -> None:
    ids = ["a", "b", "a", "c", "b", "d"]
    assert unique_curve(ids, [0, 0, 1, 3, 3, 1]).tolist() == [2, 3, 3, 4]


def test_unique_curve__no_rows__is_empty() -> None:
    assert unique_curve([], []).size == 0


@pytest.mark.parametrize(("ids", "days"), [(["a"], [0, 1]), (["a"], [-1]), ([["a"]], [[0]])])
def test_unique_curve__impossible__is_refused(ids: list[str], days: list[int]) -> None:
    with pytest.raises(ValueError, match="unit_ids"):
        unique_curve(ids, days)


def test_fit_uniques__returning_visitors__saturate_rather_than_grow_linearly() -> None:
    rng = np.random.default_rng(20261124)
    visits = rng.random((5_000, 56)) < rng.beta(0.6, 6, 5_000)[:, None]
    truth = np.maximum.accumulate(visits, axis=1).sum(axis=0)
    forecast = fit_uniques(truth[:28])
    assert forecast is not None
    assert forecast.exponent < 0.6
    assert forecast.expected(56) == pytest.approx(truth[-1], rel=0.06)
    assert 2 * truth[27] > 1.3 * truth[-1]  # what growing linearly in weeks would have promised


def test_fit_uniques__under_a_week_or_nobody__has_no_forecast() -> None:
    assert fit_uniques([10, 20, 30]) is None
    assert fit_uniques(np.zeros(10)) is None


def test_fit_uniques__everybody_came_on_the_last_day__grows_linearly() -> None:
    forecast = fit_uniques([0, 0, 0, 0, 0, 0, 0, 50])
    assert forecast is not None
    assert forecast.exponent == 1.0


def test_fit_uniques__falling_curve__is_refused() -> None:
    with pytest.raises(ValueError, match="cumulative"):
        fit_uniques([5, 4, 6, 7, 8, 9, 10, 11])


def test_expected__inside_the_history__is_the_history() -> None:
    forecast = fit_uniques(np.arange(1, 11) * 10)
    assert forecast is not None
    assert [forecast.expected(day) for day in (0, 0.5, 3, 10)] == [0, 5, 30, 100]


@pytest.mark.parametrize("daily", [0.0, -2.0])
def test_steady_uniques__nobody_a_day__is_refused(daily: float) -> None:
    with pytest.raises(ValueError, match="daily_units"):
        steady_uniques(daily)


def test_duration__window_and_coverage__are_counted() -> None:
    assert duration(1_000, steady_uniques(100), coverage=0.5, window_days=2) == Duration(28, 20)
    assert duration(1_400, steady_uniques(100)) == Duration(14, 14)


def test_duration__saturated_audience__is_never_reached() -> None:
    forecast = fit_uniques([100] * 10)
    assert duration(101, forecast).problem is PlanProblem.NEVER_REACHED


def test_duration__no_history__says_so() -> None:
    assert duration(100, None) == Duration(None, None, PlanProblem.NO_HISTORY)


@pytest.mark.parametrize("coverage", [0.0, 1.1])
def test_duration__impossible_coverage__is_refused(coverage: float) -> None:
    with pytest.raises(ValueError, match="coverage"):
        duration(10, steady_uniques(1), coverage=coverage)


def test_remaining_days__slowing_arrivals__take_longer_than_linear() -> None:
    forecast = fit_uniques([100 * day**0.5 for day in range(1, 17)])
    assert forecast is not None
    told = remaining_days(100, forecast, elapsed_days=16)
    assert told.days == 9  # 400 units after 16 days, 500 after 25
    assert remaining_days(0, forecast, elapsed_days=16).days == 0


def test_remaining_days__no_history_or_no_more_units__says_so() -> None:
    assert remaining_days(10, None, elapsed_days=3).problem is PlanProblem.NO_HISTORY
    assert remaining_days(1, fit_uniques([100] * 10), elapsed_days=10).problem is PlanProblem.NEVER_REACHED


@pytest.mark.parametrize("prior_sd", [0.02, 0.3, math.inf])
@pytest.mark.parametrize("sequential", [False, True])
def test_remaining__after_the_additional_units__the_power_is_there(prior_sd: float, sequential: bool) -> None:
    plan = Design(sequential=sequential)
    told = remaining(0.02, 0.03, 10_000, design=plan, prior_sd=prior_sd)
    error = 0.03 / math.sqrt(1 + told.additional_units / 10_000)
    assert power_with_prior(0.02, error, design=plan, prior_sd=prior_sd) == pytest.approx(0.8, abs=1e-9)


def test_remaining__already_powered__needs_nothing() -> None:
    told = remaining(0.2, 0.03, 10_000)
    assert told.additional_units == 0.0
    assert told.power_now == float(power_of(0.2, 0.03))


@pytest.mark.parametrize(("effect", "side"), [(0.05, Alternative.LESS), (-0.05, Alternative.GREATER)])
def test_remaining__effect_on_the_other_side__is_refused(effect: float, side: Alternative) -> None:
    with pytest.raises(ValueError, match="other side"):
        remaining(effect, 0.044, 20_000, design=Design(alternative=side))


@pytest.mark.parametrize("prior_sd", [0.3, math.inf])
def test_power_with_prior__one_sided__counts_its_side_only(prior_sd: float) -> None:
    design = Design(alternative=Alternative.LESS)
    assert power_with_prior(0.05, 0.01, design=design, prior_sd=prior_sd) < 1e-9
    assert power_with_prior(-0.05, 0.01, design=design, prior_sd=prior_sd) > 0.99


@pytest.mark.parametrize(("effect", "error", "prior"), [(0.0, 1.0, 1.0), (1.0, 0.0, 1.0), (1.0, 1.0, 0.0)])
def test_remaining__impossible__is_refused(effect: float, error: float, prior: float) -> None:
    with pytest.raises(ValueError, match="target_effect"):
        remaining(effect, error, 100, prior_sd=prior)


def test_power_with_prior__by_simulation__agrees() -> None:
    rng = np.random.default_rng(20261124)
    estimate = rng.normal(0.05, 0.02, 40_000)
    weight = 0.03**2 / (0.03**2 + 0.02**2)
    excluded = np.abs(weight * estimate) > 1.959964 * math.sqrt(weight) * 0.02
    assert power_with_prior(0.05, 0.02, prior_sd=0.03) == pytest.approx(excluded.mean(), abs=0.008)
