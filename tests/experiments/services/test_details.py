"""What a result tells beside the verdict: posterior, single days, days since exposure, groups, kinds of metrics."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from django.db import connection
from pytest_django.fixtures import Settings

from experiments.definitions import MetricDefinition, Part
from experiments.facts.ages import has_ages
from experiments.facts.dimensions import decode_dimension
from experiments.facts.expressions import PlannedMetric
from experiments.models import Arm, Exposure
from experiments.ports import MICRO
from experiments.reports import ExperimentReport, decode_report, encode_report
from experiments.services.analysis import analyze
from experiments.services.analysis_plan import decode_plan
from experiments.services.breakdowns import benjamini_hochberg
from experiments.services.builtin_metrics import MetricDraft
from experiments.services.design import MetricSpec
from experiments.services.exposure import microseconds
from experiments.services.metric_reports import posterior_of
from experiments.services.metrics import define_metric
from tests.experiments.facts.sources import EVENT_TABLE
from tests.experiments.reports import make_estimate
from tests.experiments.world import FACTS, create_event_table
from tests.factories.experiments import STARTED, make_experiment

AT = STARTED + timedelta(days=20)
PEOPLE = 1_200


def define(key: str, kind: str, **definition: object) -> None:
    parts = {"event_types": ("Order Completed",), "window_hours": 120, **definition}
    draft = MetricDraft(key=key, name=key, description="", kind=kind, definition=MetricDefinition(**parts))  # type: ignore[arg-type]  # the names are its fields
    define_metric(draft=draft)


@pytest.fixture
def report(db: None, settings: Settings) -> ExperimentReport:
    """Old customers are moved, new ones are not; the effect is large on the first day and gone on the third."""
    settings.EXPERIMENTS_FACTS = FACTS
    define("five_days", "count", aggregation="count")
    define("visits_per_order", "ratio", aggregation="count", denominator=Part(("Product Viewed",), "count"))
    define("capped", "mean", aggregation="sum", scale=MICRO, cap_percentile=90.0)
    define("median", "quantile", aggregation="sum", scale=MICRO, quantile=0.9)
    define("back", "retention", aggregation="exists", delay_hours=24, window_hours=24)
    define("large", "mean", aggregation="sum", scale=MICRO, minimum_sample=100_000)
    keys = ("visits_per_order", "capped", "median", "back", "large")
    metrics = (MetricSpec("five_days", "primary"), *(MetricSpec(key, "secondary") for key in keys))
    experiment = make_experiment(status="running", metrics=metrics, planned_size=PEOPLE)
    create_event_table()
    arms = list(Arm.objects.filter(experiment=experiment).order_by("position"))
    phase = experiment.phases.get()
    rng = np.random.default_rng(9)
    exposures: list[Exposure] = []
    events: list[tuple[Any, ...]] = []
    for unit in range(1, PEOPLE + 1):
        treated, is_old = bool(unit % 2), unit % 3 == 0
        first_at = STARTED + timedelta(days=float(rng.random() * 10))
        exposures.append(
            Exposure(experiment=experiment, phase=phase, arm=arms[treated], unit_type="profile", unit_id=str(unit),
                     first_at=microseconds(first_at))
        )  # fmt: skip
        events.append((unit, "Product Viewed", first_at, None))
        if is_old:
            events.append((unit, "Order Completed", first_at - timedelta(days=40), MICRO))
        for day in range(5):
            lift = 0.5 if treated and is_old and day == 0 else 0.2 if treated and is_old and day == 1 else 0.0
            if rng.random() < 0.15 + lift:
                value = int(rng.lognormal(3, 1)) * MICRO
                events.append((unit, "Order Completed", first_at + timedelta(days=day, hours=2), value))
    Exposure.objects.bulk_create(exposures)
    with connection.cursor() as cursor:
        rows = [(unit, kind, microseconds(at), value, None) for unit, kind, at, value in events]
        cursor.executemany(
            f"INSERT INTO {EVENT_TABLE} (unit, type, at, value, property_experiment) VALUES (%s, %s, %s, %s, %s)", rows
        )
    return analyze(experiment=experiment, at=AT).report


def test_report__every_kind_and_detail__is_there(report: ExperimentReport) -> None:
    """One world, many questions: building it is what takes the time."""
    by_key = {metric.key: metric for metric in report.metrics}
    orders = by_key["five_days"].comparisons[0]

    # The posterior lies between nothing and the estimate, and the chance to win is high.
    assert orders.posterior is not None
    assert orders.deciding.effect is not None
    assert 0 < orders.posterior.effect < orders.deciding.effect
    assert orders.posterior.chance_to_win > 0.99
    assert orders.posterior.loss_ship < orders.posterior.loss_keep

    # Single days cover the ten days on which people came, each on its own.
    assert 9 <= len(orders.daily) <= 11
    assert orders.daily[0].day == STARTED.date().isoformat()
    assert sum(point.n_control + point.n_arm for point in orders.daily) == PEOPLE

    # The effect fades with the days since exposure, over everybody who has lived through the day.
    assert orders.novelty is not None
    assert orders.novelty.trend == "fading"
    assert [age.n_control + age.n_arm for age in orders.novelty.ages] == [PEOPLE] * 5
    first = orders.novelty.ages[0]
    assert first.effect == pytest.approx(0.5 / 3, abs=0.06)
    assert first.lower is not None
    assert first.lower > 0

    # Old customers are moved, new ones are not, and the test across groups says so.
    (breakdown,) = report.breakdowns
    groups = {one.value: one for one in breakdown.segments}
    assert set(groups) == {"new", "returning"}
    assert breakdown.interaction_p_value is not None
    assert breakdown.interaction_p_value < 0.001
    assert (groups["returning"].lift or 0) > 0.3
    assert (groups["new"].p_adjusted or 0) > 0.05
    assert sum(one.n_control + one.n_arm for one in breakdown.segments) == PEOPLE
    assert groups["returning"].p_adjusted == pytest.approx(2 * (groups["returning"].p_value or 0), rel=1e-9)

    # Kinds that are no plain sums have effects, values and looks of their own.
    for key in ("visits_per_order", "median", "back"):
        comparison = by_key[key].comparisons[0]
        assert comparison.raw.effect is not None, key
        assert comparison.always_valid.looks_n > 0, key
        assert by_key[key].arms[0].value is not None
    assert by_key["visits_per_order"].comparisons[0].incremental is None
    assert by_key["back"].comparisons[0].incremental is not None

    # A pooled cap is recorded, and the estimate without it stands beside.
    capped = by_key["capped"]
    assert capped.cap is not None
    assert capped.comparisons[0].uncapped is not None
    assert capped.comparisons[0].uncapped.mean_arm is not None
    assert capped.comparisons[0].raw.mean_arm is not None
    assert capped.comparisons[0].uncapped.mean_arm > capped.comparisons[0].raw.mean_arm

    # A metric that asks for more people concludes nothing.
    large = by_key["large"].comparisons[0]
    assert large.raw.effect is None
    assert large.raw.reason is not None
    assert large.raw.reason.code == "too_small_sample"
    assert large.always_valid.looks_n == 0

    # All of it survives the way through the database.
    assert decode_report(encode_report(report)) == report
    assert report.plan.dimensions == ("customer",)


def test_dimension_of_a_property__newest_value_before_the_exposure(db: None, settings: Settings) -> None:
    settings.EXPERIMENTS_FACTS = FACTS
    plan = {"analysis": {"schema": 1, "dimensions": [
        {"name": "seen", "event_types": ["Product Viewed"], "property": "experiment"}
    ]}}  # fmt: skip
    experiment = make_experiment(status="running", plan=plan)
    create_event_table()
    arms, phase = list(Arm.objects.filter(experiment=experiment).order_by("position")), experiment.phases.get()
    first_at = microseconds(STARTED + timedelta(hours=1))
    hour = 3_600_000_000
    rows: list[tuple[Any, ...]] = []
    for unit in range(1, 401):
        Exposure.objects.create(
            experiment=experiment, phase=phase, arm=arms[unit % 2], unit_type="profile", unit_id=str(unit),
            first_at=first_at,
        )  # fmt: skip
        rows.append((unit, "Product Viewed", first_at - 3 * hour, None, "old"))
        rows.append((unit, "Product Viewed", first_at - 2 * hour, None, "app" if unit % 4 < 2 else "web"))
        rows.append((unit, "Product Viewed", first_at + hour, None, "later"))
        if unit % 5 < 2:
            rows.append((unit, "Order Completed", first_at + hour, MICRO, None))
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {EVENT_TABLE} (unit, type, at, value, property_experiment) VALUES (%s, %s, %s, %s, %s)", rows
        )
    (breakdown,) = analyze(experiment=experiment, at=AT).report.breakdowns
    assert [(one.value, one.n_control + one.n_arm) for one in breakdown.segments] == [("app", 200), ("web", 200)]


@pytest.mark.parametrize(
    "data", [{}, {"name": "x", "event_types": []}, {"name": "x", "event_types": ["A"], "property": "a b"}]
)
def test_decode_dimension__nonsense__is_refused(data: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="event"):
        decode_dimension(data)


def test_plan__registered__says_every_default_in_words() -> None:
    plan = decode_plan({})
    assert decode_plan({"analysis": plan.as_json()}) == plan
    assert plan.as_json()["dimensions"] == [{"name": "customer", "event_types": ["Order Completed"], "property": ""}]


def test_posterior__without_variance_or_control__is_none() -> None:
    assert posterior_of(make_estimate(effect=None), prior_sd=0.3, is_up=True) is None
    assert posterior_of(make_estimate(mean_control=0.0), prior_sd=0.3, is_up=True) is None
    assert posterior_of(make_estimate(standard_error=0.0), prior_sd=0.3, is_up=True) is None
    up, down = (posterior_of(make_estimate(), prior_sd=0.3, is_up=one) for one in (True, False))
    assert up is not None
    assert down is not None
    assert up.chance_to_win == pytest.approx(1 - down.chance_to_win)


def test_benjamini_hochberg__by_hand() -> None:
    assert benjamini_hochberg([0.01, 0.04, 0.03, None]) == pytest.approx([0.04, 0.16 / 3, 0.16 / 3, None])
    assert benjamini_hochberg([]) == []


def test_has_ages__ratio_or_distinct__has_none() -> None:
    plain = MetricDefinition(("A",), "count", window_hours=24)
    distinct = MetricDefinition(("A",), "distinct", window_hours=24, value_property="x")
    assert has_ages(PlannedMetric(0, "m", plain))
    assert not has_ages(PlannedMetric(0, "m", distinct))
