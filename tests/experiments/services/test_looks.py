"""Looks: taken at the end of a day, refused under the floor, reported accumulated."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from experiments.facts.expressions import DAY
from experiments.services.estimation import Cells, compare_arms
from experiments.services.looks import (
    Events,
    LookPlan,
    LookValues,
    events_needed,
    report_looks,
    single_look,
    take_looks,
)
from experiments.stats.sequential import Scale, confidence_sequence
from tests.experiments.services.test_estimation import cells

PLAN = LookPlan(alpha=0.05, planned_units=4_000, scale="relative")
DAYS = [date(2026, 3, 9) + timedelta(days=number) for number in range(4)]
ENDS = [(number + 1) * DAY for number in range(4)]
NAMES = ("conversion", "treatment")
NO_EVENTS = Events(found=0, needed=25, units=100, units_needed=0)


def data(units_n: int = 1_000, share: float = 0.3, kind: str = "proportion") -> Cells:
    """Windows of one day close on days 2, 3 and 4; nothing closes on day 1."""
    rng = np.random.default_rng(3)
    arms = rng.integers(0, 2, units_n)
    values = (rng.random(units_n) < share + 0.1 * arms).astype(int)
    first_at = np.linspace(1, 3 * DAY - 1, units_n).astype(np.int64)
    return cells(values.tolist(), arms.tolist(), first_at=first_at.tolist(), day_ends=ENDS, until=4 * DAY, kind=kind)


def take(found: Cells, *, plan: LookPlan = PLAN, days: list[date] | None = None) -> list[LookValues]:
    return take_looks(
        cells=found, control=0, arm=1, plan=plan, days=DAYS if days is None else days, names=NAMES, adjusted=False
    )


def look(day: int, lower: float | None, upper: float | None, p_value: float | None, refusal: str = "") -> LookValues:
    return LookValues("m", "t", DAYS[day], 10, 10, 0.1, lower, upper, 0.1, lower, upper, p_value, refusal)


def test_take_looks__days_on_which_windows_closed__one_each() -> None:
    looks = take(data())
    assert [one.day for one in looks] == DAYS[1:]
    assert looks[-1].n_control + looks[-1].n_arm == 1_000
    assert all(one.refusal == "" for one in looks)


def test_take_looks__last_day__is_the_sequence_over_all_closed_windows() -> None:
    found = data()
    last = take(found)[-1]
    comparison = compare_arms(found.mature(), control=0, arm=1, alpha=0.05)
    expected = confidence_sequence(
        comparison.log_ratio,
        comparison.log_ratio_standard_error,
        last.n_control,
        last.n_arm,
        planned_units=4_000,
        scale=Scale.LOG_RATIO,
    )
    assert last.p_value == pytest.approx(float(expected.p_value), rel=1e-12)
    assert last.lift_lower == pytest.approx(float(expected.interval.lower), rel=1e-12)
    absolute = take(found, plan=replace(PLAN, scale="absolute"))[-1]
    assert absolute.p_value != last.p_value
    assert absolute.effect_lower == last.effect_lower


def test_take_looks__too_few_conversions__refused() -> None:
    looks = take(data(units_n=60))
    assert {one.refusal for one in looks} == {"too_few_events"}
    assert all(one.p_value is None and one.lift_lower is None for one in looks)


def test_take_looks__no_conversion_in_an_arm__refused_with_its_reason() -> None:
    looks = take(data(share=-0.2))
    assert looks[-1].refusal == "too_few_events"


def test_take_looks__mean_that_is_negative__has_no_ratio() -> None:
    rng = np.random.default_rng(5)
    values = (-1 - rng.integers(0, 9, 800)).tolist()
    found = cells(values, [0, 1] * 400, first_at=[0] * 800, day_ends=ENDS, until=4 * DAY)
    looks = take(found, plan=PLAN)
    assert [one.refusal for one in looks] == ["non_positive_mean"]
    assert looks[0].effect_lower is not None
    absolute = take(found, plan=replace(PLAN, scale="absolute"))
    assert [one.refusal for one in absolute] == [""]


def test_take_looks__no_days_or_no_planned_size__none() -> None:
    assert take(data(), days=[]) == []
    assert take(data(), plan=replace(PLAN, planned_units=None)) == []


def test_events_needed__smaller_arm_against_the_floor() -> None:
    events = events_needed(data(units_n=60).mature(), control=0, arm=1, plan=PLAN)
    assert events.needed == 25
    assert 0 < events.found < 25
    assert events_needed(data(kind="mean").mature(), control=0, arm=1, plan=PLAN).needed == 100


def test_report_looks__several__minimum_and_intersection() -> None:
    looks = [look(2, -0.1, 0.3, 0.2), look(0, -0.5, 0.4, 0.9), look(1, None, None, None, "too_few_events")]
    always, series = report_looks(looks, plan=PLAN, events=NO_EVENTS)
    assert (always.p_value, always.looks_n, always.refused_n, always.reason) == (0.2, 2, 1, None)
    assert always.lift_ci is not None
    assert (always.lift_ci.lower, always.lift_ci.upper, always.lift_ci.level) == (-0.1, 0.3, 0.95)
    assert [point.day for point in series] == ["2026-03-09", "2026-03-10", "2026-03-11"]
    assert (series[1].lower, series[1].upper) == (-0.5, 0.4)


def test_report_looks__looks_that_exclude_each_other__are_drifting() -> None:
    always, series = report_looks([look(0, 0.1, 0.2, 0.01), look(1, 0.3, 0.5, 0.01)], plan=PLAN, events=NO_EVENTS)
    assert always.reason is not None
    assert always.reason.code == "effect_is_drifting"
    assert always.lift_ci is None
    assert series[-1].lower is None


def test_report_looks__all_refused__say_how_much_is_missing() -> None:
    refused = look(0, None, None, None, "too_few_events")
    always, _series = report_looks([refused], plan=PLAN, events=Events(units=100, units_needed=0, found=12, needed=25))
    assert always.p_value is None
    assert always.reason is not None
    assert always.reason.parameters == {"found": 12, "needed": 25}
    other, _series = report_looks([replace(refused, refusal="no_variance")], plan=PLAN, events=NO_EVENTS)
    assert other.reason is not None
    assert other.reason.code == "no_variance"


def test_report_looks__none_yet__names_what_is_missing() -> None:
    always, series = report_looks([], plan=PLAN, events=NO_EVENTS)
    assert (always.reason, series) == (always.reason, ())
    assert always.reason is not None
    assert always.reason.code == "no_window_closed"
    without_plan, _series = report_looks([], plan=replace(PLAN, planned_units=None), events=NO_EVENTS)
    assert without_plan.reason is not None
    assert without_plan.reason.code == "no_planned_size"


def test_single_look__has_no_always_valid_numbers() -> None:
    assert single_look().lift_ci is None
    assert single_look().looks_n == 0


def test_take_looks__fewer_people_than_the_metric_asks_for__refused_with_their_number() -> None:
    plan = replace(PLAN, minimum_sample=2_000)
    found = data()
    looks = take(found, plan=plan)
    assert {one.refusal for one in looks} == {"too_few_events"}
    events = events_needed(found.mature(), control=0, arm=1, plan=plan)
    always, _ = report_looks(looks, plan=plan, events=events)
    assert always.reason is not None
    assert always.reason.code == "too_small_sample"
    assert always.reason.parameters["needed"] == 2_000


def test_take_looks__retention_and_quantile__have_floors_of_their_own() -> None:
    assert events_needed(data(kind="retention").mature(), control=0, arm=1, plan=PLAN).needed == 25
    events = events_needed(data(kind="quantile").mature(), control=0, arm=1, plan=PLAN)
    assert events.needed == 100
    assert events.found > 400  # each person's value tells of a quantile, a zero too
