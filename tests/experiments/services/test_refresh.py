"""Refreshing: one at a time, the last good result kept, looks written once, frozen at the decision."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection
from pytest_django.fixtures import Settings

from experiments.errors import UnknownExperiment
from experiments.models import Experiment, Look, Refresh, Snapshot
from experiments.selectors import get_report, get_results
from experiments.services import decision, refresh
from experiments.services.refresh import KEPT_SNAPSHOTS, LOCK_TIME, record_failure, refresh_experiment, refreshable_ids
from tests.experiments.world import FACTS, Shop, add_order, make_world
from tests.factories.experiments import STARTED, make_experiment

AT = STARTED + timedelta(days=16)
BETTER = Shop({"control": 0.2, "treatment": 0.4}, units_n=400)


@pytest.fixture(autouse=True)
def _facts(settings: Settings) -> None:
    settings.EXPERIMENTS_FACTS = FACTS


@pytest.mark.django_db
def test_refresh__running__stores_report_and_looks() -> None:
    experiment = make_world(BETTER)
    outcome = refresh_experiment(experiment_id=experiment.pk, at=AT)
    assert outcome.status == "ok"
    snapshot = Snapshot.objects.get()
    assert (snapshot.pk, snapshot.is_current, snapshot.status) == (outcome.snapshot_id, True, "ok")
    assert len(snapshot.fingerprint) == 64
    assert "SELECT" in snapshot.sql
    assert snapshot.row_counts == {"units": 400, "multi_arm_units": 0, "frozen_units": 0}
    report = get_report(experiment_key=experiment.key)
    assert report is not None
    assert report.at == AT.isoformat()
    assert Look.objects.filter(experiment=experiment).count() == len(report.metrics[0].comparisons[0].series)
    assert Refresh.objects.get().token == ""


@pytest.mark.django_db
def test_refresh__twice__changes_nothing_more() -> None:
    experiment = make_world(BETTER)
    refresh_experiment(experiment_id=experiment.pk, at=AT)
    looks, first = list(Look.objects.order_by("pk").values()), get_report(experiment_key=experiment.key)
    refresh_experiment(experiment_id=experiment.pk, at=AT)
    assert list(Look.objects.order_by("pk").values()) == looks
    assert get_report(experiment_key=experiment.key) == first
    assert Snapshot.objects.filter(is_current=True).count() == 1


@pytest.mark.django_db
def test_refresh__late_order__moves_the_estimate_and_no_look_that_was_seen() -> None:
    experiment = make_world(BETTER)
    refresh_experiment(experiment_id=experiment.pk, at=AT)
    seen = list(Look.objects.order_by("pk").values_list("lift", "p_value"))
    before = get_report(experiment_key=experiment.key)
    for unit in range(1, 60):
        add_order(unit, STARTED + timedelta(days=13))
    refresh_experiment(experiment_id=experiment.pk, at=AT)
    assert list(Look.objects.order_by("pk").values_list("lift", "p_value")) == seen
    after = get_report(experiment_key=experiment.key)
    assert before is not None
    assert after is not None
    assert after.metrics[0].comparisons[0].series == before.metrics[0].comparisons[0].series
    assert after.metrics[0].comparisons[0].raw != before.metrics[0].comparisons[0].raw


@pytest.mark.django_db
def test_refresh__next_day__adds_its_look() -> None:
    experiment = make_world(BETTER)
    refresh_experiment(experiment_id=experiment.pk, at=AT)
    count = Look.objects.count()
    refresh_experiment(experiment_id=experiment.pk, at=AT + timedelta(days=1))
    assert Look.objects.count() == count + 1


@pytest.mark.django_db
def test_refresh__held_lock__is_busy_until_it_expires() -> None:
    experiment = make_world(BETTER)
    Refresh.objects.create(experiment=experiment, token="another", locked_until=AT + LOCK_TIME)
    assert refresh_experiment(experiment_id=experiment.pk, at=AT).status == "busy"
    assert Refresh.objects.get().token == "another"
    assert refresh_experiment(experiment_id=experiment.pk, at=AT + LOCK_TIME).status == "ok"


@pytest.mark.django_db
def test_refresh__failure__keeps_the_last_good_result_and_gives_the_lock_back(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    experiment = make_world(BETTER)
    refresh_experiment(experiment_id=experiment.pk, at=AT)
    good = get_report(experiment_key=experiment.key)
    settings.EXPERIMENTS_FACTS = "tests.experiments.facts.sources.Absent"
    with pytest.raises(ImportError) as caught:
        refresh_experiment(experiment_id=experiment.pk, at=AT + timedelta(hours=1))
    record_failure(experiment_id=experiment.pk, at=AT + timedelta(hours=1), error=caught.value)
    results = get_results(experiment_key=experiment.key)
    assert results.report == good
    assert results.has_failed
    assert (results.refreshed_at, results.attempted_at) == (AT, AT + timedelta(hours=1))
    assert "ImportError" in results.error
    assert Refresh.objects.get().token == ""
    settings.EXPERIMENTS_FACTS = FACTS
    refresh_experiment(experiment_id=experiment.pk, at=AT + timedelta(hours=2))
    assert not get_results(experiment_key=experiment.key).has_failed


@pytest.mark.django_db
def test_refresh__failure_while_storing__stores_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = make_world(BETTER)

    def fail(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError("disk full")

    monkeypatch.setattr(refresh, "_store_snapshot", fail)
    with pytest.raises(RuntimeError, match="disk full"):
        refresh_experiment(experiment_id=experiment.pk, at=AT)
    assert not Look.objects.exists()
    assert not Snapshot.objects.exists()


@pytest.mark.django_db
def test_record_failure__many__keeps_the_newest_only() -> None:
    experiment = make_world(BETTER)
    refresh_experiment(experiment_id=experiment.pk, at=AT)
    for number in range(KEPT_SNAPSHOTS + 5):
        record_failure(experiment_id=experiment.pk, at=AT, error=ValueError(str(number)))
    assert Snapshot.objects.filter(status="failed").count() == KEPT_SNAPSHOTS
    assert Snapshot.objects.filter(is_current=True).count() == 1
    assert get_results(experiment_key=experiment.key).failures_n == KEPT_SNAPSHOTS + 5


@pytest.mark.django_db
def test_refresh__decided__freezes_what_was_seen() -> None:
    experiment = make_world(BETTER)
    refresh_experiment(experiment_id=experiment.pk, at=AT)
    decision.decide(experiment_key=experiment.key, outcome="ship", arm_key="treatment", reason="It won.", at=AT)
    for unit in range(1, 60):
        add_order(unit, STARTED + timedelta(days=13))
    seen = get_report(experiment_key=experiment.key)
    assert experiment.pk in refreshable_ids()
    assert refresh_experiment(experiment_id=experiment.pk, at=AT + timedelta(days=9)).status == "frozen"
    assert experiment.pk not in refreshable_ids()
    assert get_report(experiment_key=experiment.key) == seen
    assert get_results(experiment_key=experiment.key).is_frozen


@pytest.mark.django_db
def test_refresh__decided_without_a_result__computes_it_as_of_the_decision() -> None:
    experiment = make_world(BETTER)
    decision.decide(experiment_key=experiment.key, outcome="stop", reason="Enough.", at=AT)
    assert refresh_experiment(experiment_id=experiment.pk, at=AT + timedelta(days=30)).status == "ok"
    results = get_results(experiment_key=experiment.key)
    assert (results.refreshed_at, results.is_frozen) == (AT, True)


@pytest.mark.django_db
def test_refresh__decision_taken_back__moves_on() -> None:
    experiment = make_world(BETTER)
    refresh_experiment(experiment_id=experiment.pk, at=AT)
    decision.decide(experiment_key=experiment.key, outcome="stop", reason="Enough.", at=AT)
    refresh_experiment(experiment_id=experiment.pk, at=AT)
    decision.revert(experiment_key=experiment.key, at=AT + timedelta(hours=1))
    later = AT + timedelta(days=2)
    assert refresh_experiment(experiment_id=experiment.pk, at=later).status == "ok"
    results = get_results(experiment_key=experiment.key)
    assert (results.refreshed_at, results.is_frozen) == (later, False)


@pytest.mark.django_db
def test_refresh__draft_or_unknown__does_nothing() -> None:
    draft = make_experiment()
    assert refresh_experiment(experiment_id=draft.pk, at=AT).status == "not_started"
    assert draft.pk not in refreshable_ids()
    with pytest.raises(UnknownExperiment):
        refresh_experiment(experiment_id=0, at=AT)


@pytest.mark.django_db(transaction=True)
def test_refresh__two_at_once__one_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = make_world(BETTER)
    inside, go_on = threading.Event(), threading.Event()
    compute = refresh._refresh

    def slow(one: Experiment, at: object) -> object:
        inside.set()
        assert go_on.wait(20)
        return compute(one, at)  # type: ignore[arg-type]  # the function's own arguments

    monkeypatch.setattr(refresh, "_refresh", slow)
    statuses: list[str] = []

    def first() -> None:
        statuses.append(refresh_experiment(experiment_id=experiment.pk, at=AT).status)
        connection.close()

    thread = threading.Thread(target=first)
    thread.start()
    assert inside.wait(20)
    statuses.append(refresh_experiment(experiment_id=experiment.pk, at=AT).status)
    go_on.set()
    thread.join(20)
    assert statuses == ["busy", "ok"]
    assert Snapshot.objects.count() == 1
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE test_hand_events")
