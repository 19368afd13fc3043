from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from experiments.errors import CannotTransition, UnknownExperiment
from experiments.models import ChangeLog, Experiment, Phase, PhaseArm
from experiments.services import lifecycle
from experiments.services.design import ArmSpec, create_layer
from tests.factories.experiments import STARTED, T0, make_experiment

pytestmark = pytest.mark.django_db

LATER = STARTED + timedelta(days=3)


def _codes(error: pytest.ExceptionInfo[CannotTransition]) -> set[str]:
    return {reason.code for reason in error.value.reasons}


@pytest.mark.parametrize(
    ("status", "action", "target", "stamp"),
    [
        ("draft", "start", "running", "started_at"),
        ("running", "pause", "paused", "paused_at"),
        ("paused", "resume", "running", None),
        ("running", "stop", "stopped", "stopped_at"),
        ("paused", "stop", "stopped", "stopped_at"),
        ("running", "emergency_stop", "stopped", "stopped_at"),
        ("paused", "emergency_stop", "stopped", "stopped_at"),
        ("decided", "emergency_stop", "stopped", "stopped_at"),
        ("draft", "archive", "archived", "archived_at"),
        ("stopped", "archive", "archived", "archived_at"),
        ("decided", "archive", "archived", "archived_at"),
    ],
)
def test_transition__allowed__moves_stamps_and_logs(status: str, action: str, target: str, stamp: str | None) -> None:
    experiment = make_experiment(status=status)
    actor = User.objects.create_user("ana")
    changed = getattr(lifecycle, action)(experiment_key=experiment.key, at=LATER, actor=actor, message="because")
    assert changed.status == target
    assert changed.version == experiment.version + 1
    assert stamp is None or getattr(changed, stamp) == LATER
    entry = ChangeLog.objects.latest("pk")
    assert (entry.object_type, entry.object_id) == ("experiment", experiment.pk)
    assert (entry.transition, entry.actor, entry.at, entry.message) == (action, actor, LATER, "because")
    assert entry.snapshot["status"] == target
    assert [arm["key"] for arm in entry.snapshot["arms"]] == ["control", "treatment"]


@pytest.mark.parametrize(
    ("status", "action"),
    [
        ("running", "start"),
        ("archived", "start"),
        ("draft", "pause"),
        ("stopped", "resume"),
        ("draft", "stop"),
        ("decided", "stop"),
        ("draft", "emergency_stop"),
        ("running", "archive"),
        ("archived", "archive"),
    ],
)
def test_transition__from_another_state__refused_and_nothing_changes(status: str, action: str) -> None:
    experiment = make_experiment(status=status)
    entries = ChangeLog.objects.count()
    with pytest.raises(CannotTransition) as error:
        getattr(lifecycle, action)(experiment_key=experiment.key, at=LATER)
    assert _codes(error) == {"status"}
    assert Experiment.objects.get(pk=experiment.pk).status == status
    assert ChangeLog.objects.count() == entries


def test_transition__unknown_key__unknown() -> None:
    with pytest.raises(UnknownExperiment, match="'nothing'"):
        lifecycle.start(experiment_key="nothing", at=LATER)


def test_transition__lost_race__refused(monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = make_experiment(status="running")

    def stale(key: str) -> Experiment:
        read = Experiment.objects.get(key=key)
        Experiment.objects.filter(key=key).update(status="stopped", stopped_at=LATER)
        return read

    monkeypatch.setattr(lifecycle, "get_experiment", stale)
    with pytest.raises(CannotTransition) as error:
        lifecycle.pause(experiment_key=experiment.key, at=LATER)
    assert _codes(error) == {"raced"}


ONE_ARM = (ArmSpec(key="control", name="Control", weight=1.0, is_control=True),)
NO_CONTROL = (ArmSpec(key="a", name="A", weight=0.5), ArmSpec(key="b", name="B", weight=0.5))
ZERO_WEIGHT = (ArmSpec(key="a", name="A", weight=1.0, is_control=True), ArmSpec(key="b", name="B", weight=0.0))
LIGHT = (ArmSpec(key="a", name="A", weight=0.5, is_control=True), ArmSpec(key="b", name="B", weight=0.4))


@pytest.mark.parametrize(
    ("overrides", "codes"),
    [
        ({"arms": ()}, {"arms", "control", "weights_sum"}),
        ({"arms": ONE_ARM}, {"arms"}),
        ({"arms": NO_CONTROL}, {"control"}),
        ({"arms": ZERO_WEIGHT}, {"weight_zero"}),
        ({"arms": LIGHT}, {"weights_sum"}),
        ({"coverage": 0.0}, {"coverage"}),
        ({"metrics": ()}, {"primary_metric"}),
        ({"planned_size": None}, {"planned_size"}),
    ],
)
def test_start__unfinished_design__reasons_and_still_a_draft(overrides: dict[str, Any], codes: set[str]) -> None:
    experiment = make_experiment(**overrides)
    open_points = {
        reason.code for item in lifecycle.checklist(experiment_key=experiment.key) for reason in item.reasons
    }
    assert open_points == codes
    with pytest.raises(CannotTransition) as error:
        lifecycle.start(experiment_key=experiment.key, at=STARTED)
    assert _codes(error) == codes
    experiment.refresh_from_db()
    assert (experiment.status, experiment.started_at, experiment.version) == ("draft", None, 1)


def test_start__unreadable_targeting__reason() -> None:
    experiment = make_experiment()
    Phase.objects.filter(experiment=experiment).update(targeting={"schema": 99})
    with pytest.raises(CannotTransition) as error:
        lifecycle.start(experiment_key=experiment.key, at=STARTED)
    assert _codes(error) == {"targeting"}


def test_checklist__finished_design__all_done() -> None:
    experiment = make_experiment()
    items = lifecycle.checklist(experiment_key=experiment.key)
    assert [item.code for item in items] == [
        "arms",
        "weights",
        "coverage",
        "targeting",
        "primary_metric",
        "planned_size",
        "layer",
        "prerequisites",
    ]
    assert all(item.is_done and not item.reasons for item in items)


def test_start__plan__frozen() -> None:
    experiment = make_experiment(status="running", plan={"covariate": "revenue"}, hypothesis="More sales", mde=0.05)
    assert experiment.plan["covariate"] == "revenue"
    assert experiment.plan["hypothesis"] == "More sales"
    assert experiment.plan["weights"] == {"control": 0.5, "treatment": 0.5}
    assert [(metric["key"], metric["role"]) for metric in experiment.plan["metrics"]] == [("conversion", "primary")]
    assert (experiment.plan["planned_size"], experiment.plan["mde"]) == (1_000, 0.05)
    assert experiment.phases.get().started_at == STARTED


def test_start__same_part_of_a_layer__refused_until_it_is_free() -> None:
    create_layer(key="home", name="Home page")
    first = make_experiment(status="running", layer_key="home", layer_lower=0.0, layer_upper=0.5)
    make_experiment(status="running", layer_key="home", layer_lower=0.5, layer_upper=1.0)
    third = make_experiment(layer_key="home", layer_lower=0.4, layer_upper=0.5)
    with pytest.raises(CannotTransition, match=first.name) as error:
        lifecycle.start(experiment_key=third.key, at=LATER)
    assert _codes(error) == {"layer_taken"}
    lifecycle.stop(experiment_key=first.key, at=LATER)
    assert lifecycle.start(experiment_key=third.key, at=LATER).status == "running"


def test_open_phase__new_weights__old_phase_ends_and_seed_stays() -> None:
    experiment = make_experiment(status="running", coverage=0.5)
    phase = lifecycle.open_phase(
        experiment_key=experiment.key,
        at=LATER,
        weights={"control": 0.2, "treatment": 0.8},
        coverage=0.9,
        targeting={"attribute": "country", "op": "eq", "value": "DE"},
    )
    old = experiment.phases.get(number=1)
    assert (old.ended_at, old.coverage, old.targeting) == (LATER, 0.5, {})
    assert (phase.number, phase.started_at, phase.ended_at, phase.coverage) == (2, LATER, None, 0.9)
    assert phase.targeting["rule"] == {"attribute": "country", "op": "eq", "value": "DE"}
    assert {row.arm.key: row.weight for row in phase.phase_arms.all()} == {"control": 0.2, "treatment": 0.8}
    assert Experiment.objects.get(pk=experiment.pk).seed == experiment.seed
    assert ChangeLog.objects.latest("pk").transition == "open_phase"


def test_open_phase__nothing_named__keeps_the_regime() -> None:
    rule = {"attribute": "country", "op": "eq", "value": "DE"}
    experiment = make_experiment(status="paused", coverage=0.5, targeting=rule)
    phase = lifecycle.open_phase(experiment_key=experiment.key, at=STARTED + timedelta(days=20))
    assert (phase.coverage, phase.targeting["rule"]) == (0.5, rule)
    assert {row.arm.key: row.weight for row in phase.phase_arms.all()} == {"control": 0.5, "treatment": 0.5}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"weights": {"control": 1.0}}, "weights"),
        ({"weights": {"control": 0.5, "treatment": 0.6}}, "weights_sum"),
        ({"weights": {"control": 1.5, "treatment": -0.5}}, "weights_sum"),
        ({"coverage": 0.0}, "coverage"),
        ({"coverage": 1.5}, "coverage"),
        ({"targeting": {"any": []}}, "targeting"),
        ({"at": STARTED}, "time"),
    ],
)
def test_open_phase__nonsense__refused(change: dict[str, Any], code: str) -> None:
    experiment = make_experiment(status="running")
    with pytest.raises(CannotTransition) as error:
        lifecycle.open_phase(**{"experiment_key": experiment.key, "at": LATER, **change})
    assert _codes(error) == {code}
    assert experiment.phases.count() == 1


def test_open_phase__draft__refused() -> None:
    experiment = make_experiment()
    with pytest.raises(CannotTransition) as error:
        lifecycle.open_phase(experiment_key=experiment.key, at=LATER, coverage=0.5)
    assert _codes(error) == {"status"}


def test_possible_transitions__running__those_of_the_table() -> None:
    experiment = make_experiment(status="running")
    names = [rule.name for rule in lifecycle.possible_transitions(experiment)]
    assert names == ["pause", "stop", "emergency_stop", "decide"]


def test_guards__change_log__no_update_and_no_delete() -> None:
    experiment = make_experiment(status="running")
    entries = ChangeLog.objects.filter(object_id=experiment.pk)
    for attack in (
        lambda: entries.update(message="nothing happened"),
        lambda: entries.update(actor=User.objects.create_user("eve")),
        entries.delete,
    ):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            attack()


def test_guards__change_log__survives_its_actor() -> None:
    actor = User.objects.create_user("ana")
    experiment = make_experiment()
    lifecycle.start(experiment_key=experiment.key, at=STARTED, actor=actor)
    actor.delete()
    assert ChangeLog.objects.get(object_id=experiment.pk, transition="start").actor is None


def test_guards__seed__never_changes() -> None:
    experiment = make_experiment()
    with pytest.raises(IntegrityError, match="seed"), transaction.atomic():
        Experiment.objects.filter(pk=experiment.pk).update(seed="another")


@pytest.mark.parametrize(
    "change",
    [{"coverage": 0.1}, {"number": 7}, {"started_at": LATER}, {"targeting": {"schema": 1, "rule": {"all": []}}}],
)
def test_guards__started_phase__immutable(change: dict[str, Any]) -> None:
    experiment = make_experiment(status="running")
    with pytest.raises(IntegrityError, match="immutable"), transaction.atomic():
        Phase.objects.filter(experiment=experiment).update(**change)


def test_guards__weights_of_a_started_phase__immutable() -> None:
    experiment = make_experiment(status="running")
    rows = PhaseArm.objects.filter(phase__experiment=experiment)
    row = rows.first()
    assert row is not None
    for attack in (
        lambda: rows.update(weight=0.1),
        rows.delete,
        lambda: PhaseArm.objects.create(phase=row.phase, arm=row.arm, weight=0.5),
    ):
        with pytest.raises(IntegrityError, match="immutable"), transaction.atomic():
            attack()


def test_experiment__time_of_creation__before_the_start() -> None:
    experiment = make_experiment(status="running")
    assert (experiment.created_at, experiment.started_at) == (T0, STARTED)


@pytest.mark.parametrize("change", [{"plan": {}}, {"alpha": 0.2}, {"planned_size": 5}, {"mde": None}])
def test_plan__after_the_start__the_database_refuses_a_change(change: dict[str, Any]) -> None:
    draft = make_experiment(mde=0.1)
    Experiment.objects.filter(pk=draft.pk).update(alpha=0.04)
    experiment = make_experiment(status="running", mde=0.1)
    with pytest.raises(IntegrityError, match="registered plan"), transaction.atomic():
        Experiment.objects.filter(pk=experiment.pk).update(**change)
    Experiment.objects.filter(pk=experiment.pk).update(name="Another name", plan=experiment.plan)


def test_plan__metric_of_a_running_experiment__keeps_its_role() -> None:
    experiment = make_experiment(status="running")
    with pytest.raises(IntegrityError, match="metrics of a registered plan"), transaction.atomic():
        experiment.metrics.update(window_hours=1)
