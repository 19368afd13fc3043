from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from experiments.models import ChangeLog, Decision, Experiment, Holdout
from experiments.services import lifecycle
from experiments.services.design import create_layer
from tests.factories.experiments import make_experiment

pytestmark = pytest.mark.django_db


def _run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("before", "transition", "after"),
    [
        ("draft", "start", "running"),
        ("running", "pause", "paused"),
        ("paused", "resume", "running"),
        ("running", "stop", "stopped"),
        ("decided", "emergency_stop", "stopped"),
        ("stopped", "archive", "archived"),
    ],
)
def test_transition_experiment__each__done_and_logged(before: str, transition: str, after: str) -> None:
    experiment = make_experiment(status=before)
    out = _run("transition_experiment", transition, experiment.key, "--message", "from the shell")
    assert out == f"{experiment.key}: {after}\n"
    assert ChangeLog.objects.latest("pk").message == "from the shell"


def test_transition_experiment__impossible__error_with_the_reason() -> None:
    experiment = make_experiment(metrics=())
    with pytest.raises(CommandError, match="primary metric"):
        _run("transition_experiment", "start", experiment.key)


def test_transition_experiment__unknown__error() -> None:
    with pytest.raises(CommandError, match="no experiment 'nothing'"):
        _run("transition_experiment", "start", "nothing")


def test_decide_experiment__ship_and_revert__acted_on() -> None:
    key = make_experiment(status="running").key
    out = _run("decide_experiment", key, "ship", "--arm", "treatment", "--holdback", "0.05", "--reason", "It won.")
    assert out == f"{key}: ship\n"
    assert Decision.objects.get().holdback == 0.05
    assert _run("decide_experiment", key, "revert", "--reason", "A bug.") == f"{key}: reverted\n"
    assert Experiment.objects.get().status == "running"


def test_decide_experiment__without_a_reason__error() -> None:
    key = make_experiment(status="running").key
    with pytest.raises(CommandError, match="Say why"):
        _run("decide_experiment", key, "stop")


def test_change_traffic__all_named__new_phase() -> None:
    key = make_experiment(status="running").key
    out = _run(
        "change_traffic",
        key,
        "--weights",
        "control=0.2",
        "treatment=0.8",
        "--coverage",
        "0.5",
        "--targeting",
        '{"attribute": "country", "op": "eq", "value": "DE"}',
    )
    assert out == f"{key}: phase 2\n"
    phase = Experiment.objects.get().phases.get(number=2)
    assert (phase.coverage, phase.targeting["rule"]["value"]) == (0.5, "DE")
    assert {row.arm.key: row.weight for row in phase.phase_arms.all()} == {"control": 0.2, "treatment": 0.8}


def test_change_traffic__nothing_named__same_regime() -> None:
    key = make_experiment(status="running").key
    assert _run("change_traffic", key) == f"{key}: phase 2\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--weights", "control"], "ARM=0.5, not 'control'"),
        (["--weights", "control=0.5"], "Every arm needs a weight"),
        (["--targeting", "{"], "not JSON"),
        (["--targeting", "[]"], "must be a JSON object"),
        (["--coverage", "2"], "coverage"),
    ],
)
def test_change_traffic__nonsense__error(arguments: list[str], message: str) -> None:
    experiment = make_experiment(status="running")
    with pytest.raises(CommandError, match=message):
        _run("change_traffic", experiment.key, *arguments)
    assert experiment.phases.count() == 1


def test_change_traffic__stopped__error() -> None:
    experiment = make_experiment(status="running")
    lifecycle.stop(experiment_key=experiment.key, at=experiment.started_at)  # type: ignore[arg-type]  # running: it has started
    with pytest.raises(CommandError, match="running or paused"):
        _run("change_traffic", experiment.key)


def test_set_holdout__global_and_layer__opened() -> None:
    create_layer(key="home", name="Home")
    assert _run("set_holdout", "0.05") == "global: version 1, share 0.05\n"
    assert _run("set_holdout", "0.1", "--layer", "home", "--message", "start") == "home: version 1, share 0.1\n"
    before = Holdout.objects.get(layer=None).seed
    assert _run("set_holdout", "0.05", "--redraw") == "global: version 2, share 0.05\n"
    assert Holdout.objects.get(layer=None, number=2).seed != before


def test_set_holdout__nonsense__error() -> None:
    with pytest.raises(CommandError, match="share"):
        _run("set_holdout", "2")
