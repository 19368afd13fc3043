"""Statement 26: who withdraws after the exposure stays, as measured until then; arms are compared by how many do."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from experiments.facts.expressions import unit_totals
from experiments.models import Experiment, Exposure
from experiments.selectors import get_report
from experiments.services.design import MetricSpec
from experiments.services.exposure import ExposureRow, record_many
from experiments.services.lifecycle import stop
from experiments.services.metrics import ensure_builtin_metrics
from experiments.services.planned import planned_metrics
from experiments.services.refresh import refresh_experiment
from experiments.services.totals import UnitTotals, load_totals
from marketing.choices import IdentityKind, Purpose
from marketing.facts.events import EventFacts
from marketing.models import Profile
from marketing.segmentation.clock import to_micros
from marketing.services.archive import archive_events
from marketing.services.audience import Visitor
from marketing.services.profiles import create_profile
from marketing.services.tracking import choose_consent
from tests.factories.experiments import STARTED, make_experiment
from tests.factories.marketing import give_consent, make_profile, send, track

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, settings: Any) -> None:
    settings.DATA_DIR = tmp_path


HOUR = timedelta(hours=1)
BOTH = frozenset({Purpose.ANALYTICS.value, Purpose.PERSONALIZATION.value})


def world() -> tuple[Experiment, list[Profile]]:
    """Forty people, half in each arm, each of whom buys on the second and on the fourth day."""
    ensure_builtin_metrics()
    metrics = (MetricSpec("revenue", "primary"), MetricSpec("withdrawal_rate", "secondary"))
    experiment = make_experiment(status="running", metrics=metrics)
    people = []
    for number in range(40):
        visitor = f"v{number}"
        person = create_profile(identities=[(IdentityKind.ANONYMOUS, visitor)], traits={}, at=STARTED)
        give_consent(person, Purpose.ANALYTICS, at=STARTED)
        people.append(person)
        arm = ("control", "treatment")[number % 2]
        at = to_micros(STARTED + HOUR)
        record_many(rows=[ExposureRow(experiment.key, "profile", str(person.pk), arm, 1, at)])
        for day in (2, 4):
            order = track("Order Completed", visitor=visitor, at=STARTED + timedelta(days=day), revenue=10)
            send(order, at=STARTED + timedelta(days=day))
    return experiment, people


def withdraw(number: int, *, day: int, purposes: frozenset[str] = frozenset()) -> None:
    at = STARTED + timedelta(days=day)
    choose_consent(visitor=Visitor(anonymous_id=f"v{number}"), purposes=purposes, text="May we?", at=at)


def totals(experiment: Experiment, *, day: int) -> dict[str, tuple[int, float, float]]:
    """People, revenue and withdrawals by arm so far."""
    refresh_experiment(experiment_id=experiment.pk, at=STARTED + timedelta(days=day))
    report = get_report(experiment_key=experiment.key)
    assert report is not None
    revenue, withdrawals = report.metrics
    return {
        one.arm: (one.exposed_n, one.total_so_far, other.total_so_far)
        for one, other in zip(revenue.arms, withdrawals.arms, strict=True)
    }


def test_compliance_26__withdrawn_after_exposure__stays_with_the_outcome_frozen() -> None:
    experiment, _people = world()
    assert totals(experiment, day=3) == {"control": (20, 200, 0), "treatment": (20, 200, 0)}
    for number in (1, 3, 5, 7, 8):
        withdraw(number, day=3)
    assert Exposure.objects.count() == 40
    # Four of the treated and one of the control bought a second time after the withdrawal: that is not counted.
    expected = {"control": (20, 390, 1), "treatment": (20, 360, 4)}
    assert totals(experiment, day=10) == expected
    report = get_report(experiment_key=experiment.key)
    assert report is not None
    (comparison,) = report.metrics[1].comparisons
    assert comparison.arm == "treatment"


def test_compliance_26__frozen_outcome__is_the_same_from_the_archive() -> None:
    experiment, _people = world()
    withdraw(1, day=3)
    stop(experiment_key=experiment.key, at=STARTED + timedelta(days=14))
    refresh_experiment(experiment_id=experiment.pk, at=STARTED + timedelta(days=30))
    Experiment.objects.filter(pk=experiment.pk).update(status="decided")
    before = _loaded(experiment)
    assert sum(before.metrics[0].totals) == 790 * 1_000_000
    assert archive_events(at=STARTED + timedelta(days=400), keep_days=1).events_n == 81
    assert _loaded(experiment).fingerprint == before.fingerprint


def _loaded(experiment: Experiment) -> UnitTotals:
    return load_totals(
        facts=EventFacts(),
        experiment=experiment,
        metrics=planned_metrics(experiment)[1],
        arms=["control", "treatment"],
        phases=[1],
        until=to_micros(STARTED + timedelta(days=30)),
    )


def test_compliance_26__agreed_again__is_measured_again() -> None:
    experiment, _people = world()
    withdraw(1, day=3)
    totals(experiment, day=5)
    withdraw(1, day=6, purposes=BOTH)
    assert totals(experiment, day=10) == {"control": (20, 400, 0), "treatment": (20, 400, 1)}


@pytest.mark.sqlite
def test_totals__somebody_withdrew__no_scan_of_a_type_for_each_unit() -> None:
    ensure_builtin_metrics()
    experiment = make_experiment(
        status="running", metrics=(MetricSpec("conversion", "primary"), MetricSpec("click_rate", "secondary"))
    )
    give_consent(make_profile(at=STARTED), Purpose.ANALYTICS, granted=False, at=STARTED)
    facts = EventFacts()
    _, metrics = planned_metrics(experiment)
    sql = facts.compile(unit_totals(facts, experiment_key=experiment.key, metrics=metrics, until=to_micros(STARTED)))
    assert "facts_withdrawn" in sql
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN QUERY PLAN " + sql.replace("%", "%%"))
        plan = [row[3] for row in cursor.fetchall()]
    assert [step for step in plan if "event_type_at (type_id=? AND at>?" in step] == []
