from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from experiments.models import Exposure
from experiments.services import lifecycle
from tests.factories.experiments import STARTED, make_experiment
from tests.factories.marketing import send, track

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


def _view(key: str, arm: str = "treatment", *, agent: str = "Mozilla/5.0 Firefox/130", **change: Any) -> dict[str, Any]:
    at = change.pop("at", STARTED + HOUR)
    who = {"user": change.pop("user", "u1"), "message_id": change.pop("message_id", None)}
    message = track("Experiment Viewed", at=at, experiment_id=key, variation_id=arm, **who, **change)
    return message | {"context": {"userAgent": agent}}


def test_reported__basis__keeps_consent_phase_reason_and_message() -> None:
    experiment = make_experiment(status="running", unit_type="user_id")
    view = _view(experiment.key, message_id="m-basis", consent=True, reason="split", phase=1)
    assert send(view, at=STARTED + HOUR).exposures == 1
    row = Exposure.objects.get()
    assert row.basis == {"schema": 1, "message": "m-basis", "consent": True, "phase": 1, "reason": "split"}
    earlier = _view(experiment.key, message_id="m-earlier", at=STARTED + HOUR / 2, consent="nonsense")
    later = _view(experiment.key, message_id="m-later", at=STARTED + 2 * HOUR)
    send(later, earlier, at=STARTED + 2 * HOUR)
    row = Exposure.objects.get()  # source and basis are those of the earliest
    assert row.basis == {"schema": 1, "message": "m-earlier", "consent": None, "phase": None, "reason": ""}


@pytest.mark.parametrize(
    ("given", "number"), [({}, 2), ({"phase": 1}, 1), ({"phase": "1"}, 1), ({"phase": ""}, 2), ({"phase": 2}, 2)]
)
def test_reported__phase__named_or_the_one_in_force(given: dict[str, Any], number: int) -> None:
    experiment = make_experiment(status="running", unit_type="user_id")
    lifecycle.open_phase(experiment_key=experiment.key, at=STARTED + HOUR, coverage=0.5)
    assert send(_view(experiment.key, at=STARTED + 2 * HOUR, **given), at=STARTED + 2 * HOUR).exposures == 1
    assert Exposure.objects.get().phase.number == number


@pytest.mark.parametrize("phase", [0, -1, 99, True, [1], "one", "9" * 40, 1.0])
def test_reported__nonsense_phase__is_rejected(phase: object) -> None:
    experiment = make_experiment(status="running", unit_type="user_id")
    result = send(_view(experiment.key, phase=phase), at=STARTED + HOUR)
    assert (result.exposures, dict(result.exposures_rejected)) == (0, {"unknown_phase": 1})


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"agent": "Mozilla/5.0 (compatible; Googlebot/2.1)"}, "bot"), ({"in_experiment": False}, "not_in_experiment")],
)
def test_reported__bot_or_forced__is_an_event_and_no_exposure(change: dict[str, Any], reason: str) -> None:
    experiment = make_experiment(status="running", unit_type="user_id")
    result = send(_view(experiment.key, **change), at=STARTED + HOUR)
    assert (result.accepted, result.exposures, dict(result.exposures_rejected)) == (1, 0, {reason: 1})


def test_reported__odd_context__is_taken_as_nobody_known() -> None:
    experiment = make_experiment(status="running", unit_type="user_id")
    view = _view(experiment.key)
    for number, context in enumerate(({"userAgent": 7}, "text", None)):
        message = view | {"context": context, "messageId": f"odd-{number}"}
        assert send(message, at=STARTED + HOUR).exposures == 1
