"""`manage.py replay`: a stored result is found again, and a changed one is told apart."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from experiments.models import Snapshot
from experiments.services.refresh import record_failure, refresh_experiment
from experiments.services.replay import replay_snapshot
from tests.experiments.world import FACTS, Shop, add_order, make_world
from tests.factories.experiments import STARTED

pytestmark = pytest.mark.django_db
AT = STARTED + timedelta(days=14)


@pytest.fixture
def snapshot(settings: Settings) -> Snapshot:
    settings.EXPERIMENTS_FACTS = FACTS
    experiment = make_world(Shop({"control": 0.2, "treatment": 0.3}, units_n=400))
    refresh_experiment(experiment_id=experiment.pk, at=AT)
    return Snapshot.objects.get()


def run(snapshot_id: int) -> str:
    stream = io.StringIO()
    call_command("replay", str(snapshot_id), stdout=stream)
    return stream.getvalue()


def test_replay__days_and_looks_later__finds_the_same(snapshot: Snapshot) -> None:
    refresh_experiment(experiment_id=snapshot.experiment_id, at=AT + timedelta(days=4))
    assert run(snapshot.pk) == f"{snapshot.experiment.key}: equal, facts and numbers.\n"


def test_replay__order_that_arrived_late__tells_facts_and_places(snapshot: Snapshot) -> None:
    for unit in range(1, 30):
        add_order(unit, STARTED + timedelta(days=12))
    with pytest.raises(CommandError, match=r"(?s)The facts are others.*metrics\[0\].arms\[0\]") as caught:
        run(snapshot.pk)
    assert caught.value.returncode == 1
    assert not replay_snapshot(snapshot_id=snapshot.pk).is_same_facts


def test_replay__stored_number_that_was_changed__is_named(snapshot: Snapshot) -> None:
    report = dict(snapshot.report or {})
    report["arms"][1]["exposed_n"] += 1
    del report["health"]["srm"]["observed"]["control"]
    Snapshot.objects.filter(pk=snapshot.pk).update(report=report, engine_version="0")
    found = replay_snapshot(snapshot_id=snapshot.pk)
    assert found.is_same_facts
    assert not found.is_same_engine
    assert [place.partition(":")[0] for place in found.differences] == ["arms[1].exposed_n", "srm.observed"]
    with pytest.raises(CommandError, match="The facts are the same"):
        run(snapshot.pk)


def test_replay__no_result__refused(snapshot: Snapshot) -> None:
    record_failure(experiment_id=snapshot.experiment_id, at=AT, error=ValueError("x"))
    for number in (0, Snapshot.objects.get(status="failed").pk):
        with pytest.raises(CommandError, match="does not exist or holds no result") as caught:
            run(number)
        assert caught.value.returncode == 2


def test_replay__another_engine__says_so(snapshot: Snapshot) -> None:
    Snapshot.objects.update(engine_version="0")
    assert "another version of the engine" in run(snapshot.pk)
