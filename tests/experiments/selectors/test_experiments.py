from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from experiments.selectors import (
    count_experiments,
    days_running,
    exposed_counts,
    get_status,
    list_changes,
    list_experiments,
    list_unit_exposures,
)
from experiments.services import decision, lifecycle
from experiments.services.design import create_experiment
from experiments.services.exposure import microseconds
from tests.factories.experiments import STARTED, T0, expose, make_design, make_experiment

pytestmark = pytest.mark.django_db

LATER = STARTED + timedelta(days=3, hours=5)


def test_get_status__known_and_unknown__status_and_none() -> None:
    experiment = make_experiment(status="paused")
    assert get_status(experiment_key=experiment.key) == "paused"
    assert get_status(experiment_key="nothing") is None


def test_list_experiments__states__newest_first_without_the_archived() -> None:
    make_experiment(status="archived")
    first, second = make_experiment(status="running", planned_days=7), make_experiment()
    decision.decide(experiment_key=first.key, outcome="stop", reason="Harm.", at=LATER)
    rows = list_experiments(at=LATER)
    assert [row.key for row in rows] == [second.key, first.key]
    draft, decided = rows
    assert (draft.status, draft.days_running, draft.report, draft.decision, draft.owner) == (
        "draft",
        None,
        None,
        "",
        "",
    )
    assert (decided.status, decided.days_running, decided.planned_days) == ("decided", 3, 7)
    assert (decided.decision, decided.decision_label) == ("stop", "Stop")
    assert count_experiments() == 2


def test_list_experiments__filter_and_page__only_those() -> None:
    for _ in range(3):
        make_experiment(status="running")
    archived = make_experiment(status="archived")
    assert [row.key for row in list_experiments(at=LATER, status="archived")] == [archived.key]
    assert count_experiments(status="running") == 3
    everything = [row.key for row in list_experiments(at=LATER)]
    assert [row.key for row in list_experiments(at=LATER, limit=2, offset=1)] == everything[1:]


def test_list_experiments__many__three_queries() -> None:
    for _ in range(4):
        make_experiment(status="running")
    with CaptureQueriesContext(connection) as queries:
        list_experiments(at=LATER)
    assert len(queries) == 3


@pytest.mark.parametrize(
    ("status", "at", "days"),
    [
        ("draft", LATER, None),
        ("running", LATER, 3),
        ("running", T0, 0),
        ("paused", STARTED + timedelta(days=30), 14),
        ("stopped", STARTED + timedelta(days=30), 14),
        ("decided", STARTED + timedelta(days=30), 14),
    ],
)
def test_days_running__state__until_enrolment_ended(status: str, at: object, days: int | None) -> None:
    assert days_running(make_experiment(status=status), at=at) == days  # type: ignore[arg-type]  # parametrize loses the type


def test_exposed_counts__two_phases__each_unit_once_an_arm() -> None:
    experiment = make_experiment(status="running")
    expose(experiment, "u1", "u2")
    lifecycle.open_phase(experiment_key=experiment.key, at=STARTED + timedelta(days=1), coverage=0.9)
    expose(experiment, "u1", phase=2, at=LATER)
    assert exposed_counts(experiment_key=experiment.key) == {"control": 0, "treatment": 2}
    assert exposed_counts(experiment_key="nothing") == {}


def test_list_unit_exposures__several__earliest_first() -> None:
    first, second = make_experiment(status="running", name="One"), make_experiment(status="running", name="Two")
    expose(first, "u1", at=LATER)
    expose(second, "u1", "u2", arm="control")
    rows = list_unit_exposures(unit_type="profile", unit_id="u1")
    assert [(row.experiment_name, row.arm_name, row.phase) for row in rows] == [
        ("Two", "Control", 1),
        ("One", "Treatment", 1),
    ]
    assert rows[0].first_at == microseconds(STARTED)
    assert rows[0].experiment_key == second.key
    assert list_unit_exposures(unit_type="household", unit_id="u1") == []


def test_list_changes__history__newest_first_with_its_actor() -> None:
    make_experiment(status="running")
    actor = User.objects.create_user("ana")
    experiment = create_experiment(design=make_design(), at=T0, actor=actor)
    lifecycle.archive(experiment_key=experiment.key, at=LATER, message="not needed")
    changes = list_changes(experiment_key=experiment.key)
    assert [(change.transition, change.actor, change.message, change.at) for change in changes] == [
        ("archive", "", "not needed", LATER),
        ("create", "ana", "", T0),
    ]
    assert list_changes(experiment_key="nothing") == []
