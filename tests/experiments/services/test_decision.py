from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from experiments.errors import CannotTransition
from experiments.models import ChangeLog, Decision, Experiment
from experiments.services import decision, lifecycle
from experiments.services.design import create_layer
from tests.factories.experiments import STARTED, make_experiment

pytestmark = pytest.mark.django_db

LATER = STARTED + timedelta(days=20)


def _ship(experiment: Experiment, **change: Any) -> Decision:
    arguments = {"outcome": "ship", "arm_key": "treatment", "reason": "It won.", "at": LATER, **change}
    return decision.decide(experiment_key=experiment.key, **arguments)


@pytest.mark.parametrize("status", ["running", "paused", "stopped"])
def test_decide__ship__decided_and_frozen(status: str) -> None:
    experiment = make_experiment(status=status)
    actor = User.objects.create_user("ana")
    made = _ship(experiment, holdback=0.1, actor=actor)
    experiment.refresh_from_db()
    assert (experiment.status, experiment.decided_at) == ("decided", LATER)
    stored = Decision.objects.get()
    assert stored == made
    assert (stored.outcome, stored.holdback, stored.by, stored.reason) == ("ship", 0.1, actor, "It won.")
    assert stored.arm is not None
    assert (stored.arm.key, stored.status_before, stored.frozen_at) == ("treatment", status, LATER)
    entry = ChangeLog.objects.latest("pk")
    assert (entry.transition, entry.message) == ("decide", "It won.")
    assert entry.snapshot["decisions"][0]["arm__key"] == "treatment"


@pytest.mark.parametrize("outcome", ["stop", "undecided"])
def test_decide__without_an_arm__decided(outcome: str) -> None:
    experiment = make_experiment(status="running")
    made = decision.decide(experiment_key=experiment.key, outcome=outcome, reason="No effect.", at=LATER)
    assert (made.arm, made.frozen_at) == (None, LATER)
    assert Experiment.objects.get().status == "decided"


def test_decide__continue__noted_and_goes_on() -> None:
    experiment = make_experiment(status="running")
    made = decision.decide(experiment_key=experiment.key, outcome="continue", reason="Too early.", at=LATER)
    experiment.refresh_from_db()
    assert (experiment.status, experiment.decided_at, made.frozen_at) == ("running", None, None)
    assert ChangeLog.objects.latest("pk").transition == "continue"
    assert _ship(experiment).outcome == "ship"


@pytest.mark.parametrize("status", ["draft", "stopped"])
def test_decide__continue_what_does_not_run__refused(status: str) -> None:
    experiment = make_experiment(status=status)
    with pytest.raises(CannotTransition, match="running or paused"):
        decision.decide(experiment_key=experiment.key, outcome="continue", reason="Why not.", at=LATER)
    assert not Decision.objects.exists()


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        ({"outcome": "celebrate", "arm_key": ""}, {"outcome"}),
        ({"reason": "  "}, {"reason"}),
        ({"arm_key": ""}, {"arm"}),
        ({"arm_key": "nothing"}, {"arm"}),
        ({"outcome": "stop"}, {"arm"}),
        ({"outcome": "stop", "arm_key": "", "holdback": 0.1}, {"arm"}),
        ({"holdback": 1.0}, {"holdback"}),
        ({"holdback": -0.1}, {"holdback"}),
    ],
)
def test_decide__nonsense__refused(change: dict[str, Any], codes: set[str]) -> None:
    experiment = make_experiment(status="running")
    with pytest.raises(CannotTransition) as error:
        _ship(experiment, **change)
    assert {reason.code for reason in error.value.reasons} == codes
    assert Experiment.objects.get().status == "running"


@pytest.mark.parametrize("status", ["draft", "decided", "archived"])
def test_decide__wrong_state__refused(status: str) -> None:
    experiment = make_experiment(status=status)
    decisions = Decision.objects.count()
    with pytest.raises(CannotTransition) as error:
        _ship(experiment)
    assert [reason.code for reason in error.value.reasons] == ["status"]
    assert Decision.objects.count() == decisions


@pytest.mark.parametrize("status", ["running", "paused", "stopped"])
def test_revert__decided__as_before(status: str) -> None:
    experiment = make_experiment(status=status)
    _ship(experiment)
    actor = User.objects.create_user("ben")
    reverted = decision.revert(
        experiment_key=experiment.key, at=LATER + timedelta(hours=1), actor=actor, message="A bug in the arm."
    )
    experiment.refresh_from_db()
    assert (experiment.status, experiment.decided_at) == (status, None)
    assert (reverted.reverted_at, reverted.reverted_by) == (LATER + timedelta(hours=1), actor)
    assert (ChangeLog.objects.latest("pk").transition, ChangeLog.objects.latest("pk").actor) == ("revert", actor)
    assert _ship(experiment).reverted_at is None


def test_revert__nothing_decided__refused() -> None:
    experiment = make_experiment(status="running")
    with pytest.raises(CannotTransition, match="no decision"):
        decision.revert(experiment_key=experiment.key, at=LATER)


def test_revert__archived__refused() -> None:
    experiment = make_experiment(status="decided")
    lifecycle.archive(experiment_key=experiment.key, at=LATER)
    with pytest.raises(CannotTransition) as error:
        decision.revert(experiment_key=experiment.key, at=LATER)
    assert [reason.code for reason in error.value.reasons] == ["status"]


def test_revert__raced__refused(monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = make_experiment(status="decided")

    def raced(**arguments: Any) -> Experiment:
        Decision.objects.update(reverted_at=LATER)
        return lifecycle.transition(**arguments)

    monkeypatch.setattr(decision, "transition", raced)
    with pytest.raises(CannotTransition) as error:
        decision.revert(experiment_key=experiment.key, at=LATER)
    assert [reason.code for reason in error.value.reasons] == ["raced"]
    assert Experiment.objects.get().status == "decided"


def test_revert__layer_taken_meanwhile__refused() -> None:
    create_layer(key="home", name="Home")
    first = make_experiment(status="running", layer_key="home")
    _ship(first)
    make_experiment(status="running", layer_key="home")
    with pytest.raises(CannotTransition) as error:
        decision.revert(experiment_key=first.key, at=LATER)
    assert [reason.code for reason in error.value.reasons] == ["layer_taken"]


def test_emergency_stop__shipped__decision_is_reverted() -> None:
    experiment = make_experiment(status="decided")
    lifecycle.emergency_stop(experiment_key=experiment.key, at=LATER)
    assert Decision.objects.get().reverted_at == LATER
    assert not Decision.objects.standing().exists()
