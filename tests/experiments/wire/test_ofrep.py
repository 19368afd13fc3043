from __future__ import annotations

import gzip
import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError
from pytest_django import DjangoAssertNumQueries

from experiments.models import Exposure
from experiments.selectors import clear_config_cache, config
from experiments.services import lifecycle
from experiments.services.assignment import assign
from experiments.services.design import ArmSpec, create_layer
from experiments.services.holdout import set_holdout
from experiments.wire.decide import Decide
from tests.experiments.wire.client import KEY, OpenGate, ask, ask_flag
from tests.factories.experiments import STARTED, expose, make_experiment

pytestmark = pytest.mark.django_db
BULK = "/ofrep/v1/evaluate/flags"


def _unit_in(experiment: Any, arm: str) -> str:
    """The first unit that its bucket puts into an arm."""
    for number in range(1_000):
        unit_id = f"u{number}"
        got = assign(
            experiment_key=experiment.key, unit_type=experiment.unit_type, unit_id=unit_id, attributes={}, at=STARTED
        )
        if got.arm_key == arm:
            return unit_id
    raise AssertionError(arm)


def test_flag__running__serves_the_arm_that_assign_gives(decide: Decide) -> None:
    experiment = make_experiment(status="running", unit_type="user_id")
    unit_id = _unit_in(experiment, "treatment")
    seen = ask_flag(decide, experiment.key, targetingKey=unit_id)
    assert seen.status == 200
    assert seen.headers["Content-Type"] == "application/json"
    assert seen.headers["Access-Control-Allow-Origin"] == "*"
    assert seen.body == {
        "key": experiment.key,
        "value": {"title": "new"},
        "variant": "treatment",
        "reason": "SPLIT",
        "metadata": {
            "experiment": experiment.key,
            "unitType": "user_id",
            "inExperiment": True,
            "reason": "split",
            "phase": 1,
        },
    }


def test_flag__decision__is_no_exposure(decide: Decide) -> None:
    experiment = make_experiment(status="running", unit_type="user_id")
    ask_flag(decide, experiment.key, targetingKey="u1")
    assert not Exposure.objects.exists()


def test_flag__warm__costs_no_query(decide: Decide, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    experiment = make_experiment(status="running", unit_type="user_id")
    ask_flag(decide, experiment.key, targetingKey="u1")
    with django_assert_num_queries(0):
        assert ask_flag(decide, experiment.key, targetingKey="u2").status == 200


@pytest.mark.parametrize("consent", [None, False, "true", 1])
def test_flag__without_consent__is_the_code_default(decide: Decide, consent: object) -> None:
    experiment = make_experiment(status="running", unit_type="user_id")
    seen = ask_flag(decide, experiment.key, targetingKey="u1", consent=consent)
    assert seen.status == 200
    assert "value" not in seen.body
    assert seen.body["variant"] == "code-default"
    assert seen.body["reason"] == "UNKNOWN"
    assert seen.body["metadata"]["reason"] == "no_consent"


def test_flag__shipped__needs_no_consent(decide: Decide) -> None:
    experiment = make_experiment(status="decided", unit_type="user_id")
    seen = ask_flag(decide, experiment.key, targetingKey="u1", consent=False)
    assert (seen.body["variant"], seen.body["reason"]) == ("treatment", "STATIC")
    assert seen.body["metadata"]["inExperiment"] is False


def test_flag__shipped_to_a_rule__says_so(decide: Decide) -> None:
    targeting = {"attribute": "country", "op": "eq", "value": "DE"}
    experiment = make_experiment(status="decided", unit_type="user_id", targeting=targeting)
    assert ask_flag(decide, experiment.key, targetingKey="u1", country="DE").body["reason"] == "TARGETING_MATCH"
    assert ask_flag(decide, experiment.key, targetingKey="u1", country="AT").body["reason"] == "UNKNOWN"


@pytest.mark.parametrize("status", ["paused", "stopped", "archived"])
def test_flag__not_live__is_disabled(decide: Decide, status: str) -> None:
    experiment = make_experiment(status=status, unit_type="user_id")
    seen = ask_flag(decide, experiment.key, targetingKey="u1")
    assert (seen.status, seen.body["reason"], seen.body["variant"]) == (200, "DISABLED", "code-default")


@pytest.mark.parametrize("made", [{"status": "draft", "unit_type": "user_id"}, {"status": "running"}])
def test_flag__draft_or_of_profiles__is_not_found(decide: Decide, made: dict[str, str]) -> None:
    experiment = make_experiment(**made)
    seen = ask_flag(decide, experiment.key, targetingKey="u1")
    assert (seen.status, seen.body["errorCode"], seen.body["key"]) == (404, "FLAG_NOT_FOUND", experiment.key)
    assert seen.body["errorDetails"]


def test_flag__of_anonymous_visitors__reads_their_id_before_the_targeting_key(decide: Decide) -> None:
    experiment = make_experiment(status="running", unit_type="anonymous")
    unit_id = _unit_in(experiment, "treatment")
    other = _unit_in(experiment, "control")
    assert ask_flag(decide, experiment.key, targetingKey=other, anonymousId=unit_id).body["variant"] == "treatment"
    assert ask_flag(decide, experiment.key, targetingKey=other).body["variant"] == "control"
    nobody = ask_flag(decide, experiment.key, targetingKey=other, anonymousId="a\x00b").body
    assert nobody["metadata"]["reason"] == "no_unit"


def test_flag__numeric_id_attribute__is_its_digits(decide: Decide) -> None:
    experiment = make_experiment(status="running", unit_type="user_id")
    as_text = ask_flag(decide, experiment.key, targetingKey="x", id="42").body
    assert ask_flag(decide, experiment.key, targetingKey="x", id=42).body == as_text


@pytest.mark.parametrize(
    ("payload", "value"), [(True, True), ("blue", "blue"), (1.0, 1.0), (7, 7), ([1, "a"], [1, "a"]), ({}, {})]
)
def test_flag__payload_of_any_kind__keeps_its_type(decide: Decide, payload: Any, value: Any) -> None:
    arms = (
        ArmSpec(key="control", name="Control", weight=0.5, is_control=True, payload=payload),
        ArmSpec(key="treatment", name="Treatment", weight=0.5, payload=payload),
    )
    experiment = make_experiment(status="running", unit_type="user_id", arms=arms)
    got = ask_flag(decide, experiment.key, targetingKey="u1").body["value"]
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "TARGETING_KEY_MISSING"),
        ({"context": {}}, "TARGETING_KEY_MISSING"),
        ({"context": {"targetingKey": ""}}, "TARGETING_KEY_MISSING"),
        ({"context": {"targetingKey": 3}}, "INVALID_CONTEXT"),
        ({"context": {"targetingKey": "a\x00"}}, "INVALID_CONTEXT"),
        ({"context": {"targetingKey": "\ud800"}}, "INVALID_CONTEXT"),
        ({"context": {"targetingKey": "x" * 201}}, "INVALID_CONTEXT"),
        ({"context": []}, "INVALID_CONTEXT"),
        ([], "TARGETING_KEY_MISSING"),
        (b"{", "PARSE_ERROR"),
        (b"\xff", "PARSE_ERROR"),
        (b"[" * 50_000, "PARSE_ERROR"),
    ],
)
@pytest.mark.parametrize("path", ["", "/nope"])
def test_request__bad__is_400_with_its_code(decide: Decide, body: Any, code: str, path: str) -> None:
    seen = ask(decide, BULK + path, body)
    assert (seen.status, seen.body["errorCode"]) == (400, code)
    assert seen.body["errorDetails"]


@pytest.mark.parametrize("length", ["65537", ""])
def test_request__too_large__is_413(decide: Decide, length: str) -> None:
    assert ask(decide, BULK, b" " * 65_537, CONTENT_LENGTH=length).status == 413


def test_request__gzip__is_read(decide: Decide) -> None:
    experiment = make_experiment(status="running", unit_type="user_id")
    packed = gzip.compress(json.dumps({"context": {"targetingKey": "u1", "consent": True}}).encode())
    plain = ask_flag(decide, experiment.key, targetingKey="u1")
    seen = ask(decide, f"{BULK}/{experiment.key}", packed, HTTP_CONTENT_ENCODING="gzip")
    assert (seen.status, seen.body) == (200, plain.body)


@pytest.mark.parametrize(
    ("packed", "status"),
    [
        (gzip.compress(b" " * 50_000_000, mtime=0), 413),
        (gzip.compress(b" " * 60_000, mtime=0)[:-9], 400),
        (b"not gzip", 400),
    ],
)
@pytest.mark.parametrize("path", [BULK, f"{BULK}/flag", f"/api/eval/{KEY}", f"/track?client_key={KEY}"])
def test_gzip__bomb_or_garbage__is_refused(decide: Decide, path: str, packed: bytes, status: int) -> None:
    assert ask(decide, path, packed, HTTP_CONTENT_ENCODING="gzip").status == status


def test_request__length_is_nonsense__is_400(decide: Decide) -> None:
    assert ask(decide, BULK, b"{}", CONTENT_LENGTH="many").status == 400


def test_request__without_a_key__is_401(decide: Decide) -> None:
    assert ask(decide, BULK, {"context": {"targetingKey": "u"}}, key="other").status == 401


def test_request__key_as_api_key__is_admitted(decide: Decide) -> None:
    seen = ask(decide, BULK, {"context": {"targetingKey": "u"}}, HTTP_AUTHORIZATION="", HTTP_X_API_KEY="hk_client")
    assert seen.status == 200


def test_request__get__is_405(decide: Decide) -> None:
    seen = ask(decide, BULK, method="GET")
    assert (seen.status, seen.headers["Allow"]) == (405, "POST, OPTIONS")


def test_preflight__browser__may_send_its_headers(decide: Decide) -> None:
    seen = ask(decide, BULK, method="OPTIONS", key="")
    assert seen.status == 204
    assert {"x-api-key", "content-encoding"} <= set(seen.headers["Access-Control-Allow-Headers"].split(", "))
    assert "Content-Length" not in seen.headers


def test_bulk__all_client_experiments__with_an_etag_over_the_evaluation(decide: Decide) -> None:
    shown = make_experiment(status="running", unit_type="user_id", key="a-shown")
    make_experiment(status="running", key="b-of-profiles")
    make_experiment(status="stopped", unit_type="user_id", key="c-stopped")
    body = {"context": {"targetingKey": _unit_in(shown, "control"), "consent": True}}
    first = ask(decide, BULK, body)
    assert [(flag["key"], flag["variant"]) for flag in first.body["flags"]] == [
        ("a-shown", "control"),
        ("c-stopped", "code-default"),
    ]
    again = ask(decide, BULK, body, HTTP_IF_NONE_MATCH=f'W/{first.headers["ETag"]}, "other"')
    assert (again.status, again.body, again.headers["ETag"]) == (304, None, first.headers["ETag"])
    other = {"context": {"targetingKey": _unit_in(shown, "treatment"), "consent": True}}
    assert ask(decide, BULK, other, HTTP_IF_NONE_MATCH=first.headers["ETag"]).status == 200


def test_flag__seen_in_an_earlier_phase__keeps_its_arm(decide: Decide) -> None:
    experiment = make_experiment(status="running", unit_type="user_id")
    unit_id = _unit_in(experiment, "control")
    expose(experiment, unit_id, arm="control")
    weights = {"control": 0.0, "treatment": 1.0}
    lifecycle.open_phase(experiment_key=experiment.key, at=STARTED + timedelta(days=1), weights=weights)
    clear_config_cache()
    assert ask_flag(decide, experiment.key, targetingKey=unit_id).body["variant"] == "control"


def test_flag__held_out__is_the_code_default(decide: Decide) -> None:
    create_layer(key="home", name="Home")
    set_holdout(share=0.9, at=STARTED - timedelta(days=30), unit_type="user_id", message="everybody")
    experiment = make_experiment(status="running", unit_type="user_id", layer_key="home", layer_upper=0.5)
    seen = [ask_flag(decide, experiment.key, targetingKey=f"u{number}").body for number in range(20)]
    held_out = [body for body in seen if body["metadata"]["reason"] == "held_out"]
    assert held_out
    assert all("value" not in body for body in held_out)


def _down(*args: object, **kwargs: object) -> None:
    raise DatabaseError("gone")


def test_database__down__answers_go_on_from_memory(decide: Decide, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = make_experiment(status="running", unit_type="user_id")
    before = ask_flag(decide, experiment.key, targetingKey="u1")
    monkeypatch.setattr(config, "TTL_SECONDS", -1.0)
    monkeypatch.setattr(config, "_version", _down)
    assert ask_flag(decide, experiment.key, targetingKey="u1") == before


def test_database__down_for_a_look_up__serves_the_default(decide: Decide, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = make_experiment(status="paused", unit_type="user_id")
    assert ask_flag(decide, experiment.key, targetingKey="u1").body["metadata"]["reason"] == "paused"
    monkeypatch.setattr("experiments.services.assignment.first_exposures", _down)
    seen = ask_flag(decide, experiment.key, targetingKey="u1")
    assert (seen.status, seen.body["metadata"]["reason"]) == (200, "unavailable")


def test_database__down_from_the_start__is_503(decide: Decide, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "_version", _down)
    seen = ask_flag(decide, "any", targetingKey="u1")
    assert (seen.status, seen.headers["Retry-After"]) == (503, "30")


def test_emergency_stop__other_process__acts_within_five_seconds() -> None:
    assert config.TTL_SECONDS < 5.0


def test_flag__rule_reads_segments__the_gate_says_who_is_in_one(decide: Decide, gate: OpenGate) -> None:
    rule = {"attribute": "segments", "op": "contains", "value": "vip"}
    make_experiment(status="running", unit_type="user_id", key="for-vips", targeting=rule)
    gate.members = {("user_id", "u1"): ["vip"]}

    assert ask_flag(decide, "for-vips", targetingKey="u1").body["reason"] == "SPLIT"
    stranger = ask_flag(decide, "for-vips", targetingKey="u2", segments=["vip"])
    assert stranger.body["metadata"]["reason"] == "targeting"
