"""Metrics in code: a shop's own table becomes a metric, from the function to the stored result."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db.models import BigIntegerField, F, IntegerField, QuerySet, Value

from experiments.facts import in_code
from experiments.facts.expressions import PlannedMetric, unit_totals
from experiments.models import Experiment, ExperimentMetric
from experiments.ports import MICRO, MetricDefinition
from experiments.selectors import get_report
from experiments.services.builtin_metrics import MetricDraft
from experiments.services.exposure import microseconds
from experiments.services.in_code import BadSource, metric_source
from experiments.services.metrics import define_metric
from experiments.services.refresh import refresh_experiment
from marketing.facts import EventFacts
from tests.factories.experiments import STARTED, expose, make_experiment
from tests.factories.marketing import make_profile, send, track

pytestmark = pytest.mark.django_db

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NAME = "Paid Order"
DEFINITION = MetricDefinition((NAME,), "sum", window_hours=72, lookback_days=7, scale=MICRO)


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_code, "_sources", {})


def paid_orders() -> QuerySet[Any, Any]:
    """The log of the admin stands for a shop's orders: who, when, and a number."""
    rows = LogEntry.objects.filter(change_message__startswith="100% paid")
    return rows.values(unit=F("user__username"), time=F("action_time"), value=F("action_flag"))


def pay(user: User, at: Any, value: int, message: str = "100% paid") -> None:
    entry = LogEntry.objects.create(
        user=user,
        content_type=ContentType.objects.get_for_model(User),
        object_id="1",
        object_repr="order",
        action_flag=value,
        change_message=message,
    )
    LogEntry.objects.filter(pk=entry.pk).update(action_time=at)


@pytest.fixture
def shop() -> tuple[Experiment, dict[str, int]]:
    metric_source(NAME)(paid_orders)
    experiment = make_experiment(status="running")
    people = {}
    for number in range(8):
        name = f"customer-{number}"
        profile = make_profile(user_id=name)
        people[name] = profile.pk
        expose(experiment, str(profile.pk), arm=("control", "treatment")[number % 2], at=STARTED + DAY)
        user = User.objects.create_user(name)
        pay(user, STARTED + DAY + timedelta(microseconds=1) * number, number)
        pay(user, STARTED + 2 * DAY, 50, "open")
        pay(user, STARTED, 2)
    stranger = User.objects.create_user("stranger")
    pay(stranger, STARTED + 2 * DAY, 100)
    return experiment, people


def totals(experiment: Experiment, *definitions: MetricDefinition) -> dict[int, tuple[int, ...]]:
    facts = EventFacts()
    metrics = [PlannedMetric(index, str(index), definition) for index, definition in enumerate(definitions)]
    until = microseconds(STARTED + 30 * DAY)
    rows = facts.execute(unit_totals(facts, experiment_key=experiment.key, metrics=metrics, until=until)).to_pylist()
    return {
        row["unit"]: tuple(value for name, value in row.items() if "_" in name and name != "first_at") for row in rows
    }


def test_in_code__orders_of_the_shop__are_exact_to_the_microsecond(
    shop: tuple[Experiment, dict[str, int]],
) -> None:
    experiment, people = shop
    found = totals(experiment, DEFINITION)
    assert found == {people[f"customer-{number}"]: (number * MICRO, 2 * MICRO) for number in range(8)}
    # The window that begins five microseconds later by a day's delay sees nobody's order.
    assert set(totals(experiment, MetricDefinition((NAME,), "exists", window_hours=24, delay_hours=1)).values()) == {
        (0,)
    }


def test_in_code__beside_events_and_refunds__both_count(shop: tuple[Experiment, dict[str, int]]) -> None:
    experiment, people = shop
    at = STARTED + DAY + HOUR
    send(track("Order Completed", user="customer-1", at=at, revenue=5.0, order_id="o"), at=STARTED + 9 * DAY)
    send(track("Order Refunded", user="customer-1", at=at + HOUR, revenue=1.0, order_id="o"), at=STARTED + 9 * DAY)
    both = MetricDefinition(("Order Completed", "Order Refunded", NAME), "sum", window_hours=72, scale=MICRO)
    found = totals(experiment, both, DEFINITION)
    assert found[people["customer-1"]] == (5 * MICRO, MICRO, 2 * MICRO)


def test_in_code__metric_of_an_experiment__reaches_its_result(shop: tuple[Experiment, dict[str, int]]) -> None:
    experiment, _people = shop
    metric = define_metric(
        draft=MetricDraft(key="paid", name="Paid", description="", kind="mean", definition=DEFINITION, unit="money")
    )
    ExperimentMetric.objects.create(experiment=experiment, metric=metric, role="secondary")
    refresh_experiment(experiment_id=experiment.pk, at=STARTED + 10 * DAY)
    report = get_report(experiment_key=experiment.key)
    assert report is not None
    paid = next(found for found in report.metrics if found.key == "paid")
    # Control: 0, 2, 4, 6; treatment: 1, 3, 5, 7.
    assert [arm.value for arm in paid.arms] == pytest.approx([3.0, 4.0])
    user = User.objects.get(username="customer-1")
    pay(user, STARTED + 2 * DAY, 40)  # nobody is told of it
    refresh_experiment(experiment_id=experiment.pk, at=STARTED + 11 * DAY)
    report = get_report(experiment_key=experiment.key)
    assert report is not None
    paid = next(found for found in report.metrics if found.key == "paid")
    assert paid.arms[1].value == pytest.approx(14.0)


def test_in_code__number_without_value_and_time_in_microseconds__count(
    shop: tuple[Experiment, dict[str, int]],
) -> None:
    experiment, people = shop

    @metric_source("Login")
    def logins() -> QuerySet[Any, Any]:
        at = Value(microseconds(STARTED + DAY + HOUR), output_field=BigIntegerField())
        nothing = Value(None, output_field=IntegerField())
        return User.objects.filter(username="customer-3").values(unit=F("username"), time=at, value=nothing)

    found = totals(experiment, MetricDefinition(("Login",), "count", window_hours=72))
    assert {unit for unit, (n,) in found.items() if n} == {people["customer-3"]}


def test_metric_source__name_taken__refused() -> None:
    metric_source(NAME)(paid_orders)
    metric_source(NAME)(paid_orders)  # the same function again, as at a reload
    with pytest.raises(ValueError, match="two sources of 'Paid Order'"):
        metric_source(NAME)(User.objects.all)


@pytest.mark.parametrize(
    ("result", "missing"),
    [([], "QuerySet"), ("users", "unit"), ("units", "time")],
)
def test_source__not_what_it_must_be__is_named(result: Any, missing: str) -> None:
    experiment = make_experiment(status="running")

    @metric_source("Broken")
    def broken() -> Any:
        if result == "users":
            return User.objects.all()
        return User.objects.values(unit=F("username")) if result == "units" else result

    with pytest.raises(BadSource, match=f"the source of 'Broken' .* there is no {missing}"):
        totals(experiment, MetricDefinition(("Broken",), "count", window_hours=1))
