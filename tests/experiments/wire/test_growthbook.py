from __future__ import annotations

import gzip
import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError
from growthbook import Experiment as TheirExperiment
from growthbook import GrowthBook, Result

from experiments.selectors import clear_config_cache, config, left_out_reason, list_configs
from experiments.selectors.clients import why_left_out
from experiments.services import decision, lifecycle
from experiments.services.design import ArmSpec, Requirement, create_layer
from experiments.services.holdout import set_holdout
from experiments.wire.decide import Decide
from experiments.wire.evaluation import evaluate, unit_of
from tests.experiments.wire.client import KEY, OpenGate, ask
from tests.factories.experiments import STARTED, T0, expose, make_experiment

pytestmark = pytest.mark.django_db
FEATURES = f"/api/features/{KEY}"
EVALUATE = f"/api/eval/{KEY}"
RULE = {
    "all": [
        {"attribute": "country", "op": "in", "value": ["DE", "AT"]},
        {"not": {"attribute": "age", "op": "lt", "value": 18}},
    ]
}


def _payload(decide: Decide, **environ: str) -> Any:
    return ask(decide, FEATURES, method="GET", key="", **environ)


def _ids(amount: int) -> list[str]:
    """Ids of many scripts, of emoji and of plain letters."""
    chance = random.Random(5)
    alphabets = ["abc0123456789-", "äöüßéñ", "абвгд", "日本語漢字", "🙂🚀👩‍👩‍👧", "עבריתا"]
    return ["".join(chance.choices(chance.choice(alphabets), k=chance.randint(1, 12))) for _ in range(amount)]


def _people(amount: int) -> list[dict[str, Any]]:
    chance = random.Random(6)
    return [
        {
            "id": unit_id,
            "anonymousId": f"a-{unit_id}",
            **({"country": chance.choice(["DE", "AT", "FR"])} if chance.random() < 0.9 else {}),
            **({"age": chance.randint(10, 80)} if chance.random() < 0.9 else {}),
            **({"consent": chance.random() < 0.8} if chance.random() < 0.95 else {}),
        }
        for unit_id in _ids(amount)
    ]


def _make_world() -> None:
    """One experiment of each kind that clients can evaluate."""
    create_layer(key="home", name="Home")
    set_holdout(share=0.1, at=T0 - timedelta(days=9), unit_type="user_id", message="global")
    set_holdout(share=0.2, at=T0 - timedelta(days=9), unit_type="user_id", layer_key="home", message="of the layer")
    make_experiment(status="running", unit_type="user_id", key="plain")
    make_experiment(status="running", unit_type="anonymous", key="visitors", coverage=0.7)
    make_experiment(
        status="running",
        unit_type="user_id",
        key="everything",
        layer_key="home",
        layer_lower=0.2,
        layer_upper=0.9,
        coverage=0.8,
        targeting=RULE,
    )
    make_experiment(status="running", unit_type="user_id", key="shipped", targeting=RULE)
    decision.decide(
        experiment_key="shipped", outcome="ship", arm_key="treatment", holdback=0.15, reason="It won.", at=STARTED
    )
    make_experiment(status="stopped", unit_type="user_id", key="stopped")
    make_experiment(
        status="running",
        unit_type="user_id",
        key="second-step",
        requires=(Requirement("everything", "treatment"), Requirement("shipped", "treatment")),
    )
    make_experiment(
        status="decided", unit_type="user_id", key="after-step", requires=(Requirement("plain", "control"),)
    )


@pytest.mark.parametrize("amount", [2_000, pytest.param(25_000, marks=pytest.mark.slow)])
def test_payload__their_sdk__assigns_every_unit_as_we_do(decide: Decide, amount: int) -> None:
    _make_world()
    features = _payload(decide).body["features"]
    assert set(features) == {"plain", "visitors", "everything", "shipped", "stopped", "second-step", "after-step"}
    now = datetime.now(UTC)
    seen: dict[str, set[str | None]] = {key: set() for key in features}
    theirs = GrowthBook(features=features)
    for person in _people(amount):
        theirs.set_attributes(person)
        for key, ours in list_configs().items():
            got = evaluate(ours, unit_id=unit_of(ours, person), attributes=person, at=now)
            result = theirs.eval_feature(key)
            assert result.value == (got.payload if got.arm_key is not None else None), (key, person)
            assert (result.experimentResult is not None) == got.is_in, (key, person)
            if result.experimentResult is not None:
                assert result.experimentResult.key == got.arm_key
            seen[key].add(got.arm_key)
    theirs.destroy()
    assert seen["everything"] == {"control", "treatment", None}
    assert seen["shipped"] == {"treatment", None}
    assert seen["stopped"] == {None}
    assert seen["second-step"] == {"control", "treatment", None}
    assert seen["after-step"] == {"treatment", None}


def test_payload__public__names_no_person_and_can_be_cached(decide: Decide) -> None:
    make_experiment(status="running", unit_type="user_id", key="shown")
    make_experiment(status="running", key="of-profiles")
    make_experiment(status="draft", unit_type="user_id", key="draft")
    make_experiment(status="archived", unit_type="user_id", key="archived")
    seen = _payload(decide)
    assert set(seen.body["features"]) == {"shown"}
    assert (seen.body["status"], seen.body["experiments"], seen.body["savedGroups"]) == (200, [], {})
    assert seen.headers["Cache-Control"] == "public, max-age=30, stale-while-revalidate=3600, stale-if-error=36000"
    again = _payload(decide, HTTP_IF_NONE_MATCH=seen.headers["ETag"])
    assert (again.status, again.body) == (304, None)


def test_payload__after_a_change__has_another_date_and_etag(decide: Decide) -> None:
    experiment = make_experiment(status="running", unit_type="user_id", key="shown")
    before = _payload(decide)
    lifecycle.emergency_stop(experiment_key=experiment.key, at=STARTED + timedelta(hours=1), message="broken")
    clear_config_cache()
    after = _payload(decide, HTTP_IF_NONE_MATCH=before.headers["ETag"])
    assert after.status == 200
    assert after.body["features"]["shown"] == {"defaultValue": None}
    assert after.body["dateUpdated"] > before.body["dateUpdated"]


def test_payload__without_experiments__is_empty(decide: Decide) -> None:
    seen = _payload(decide).body
    assert (seen["features"], seen["dateUpdated"]) == ({}, "1970-01-01T00:00:00.000Z")


def test_payload__database_down__is_the_last_known(decide: Decide, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*args: object, **kwargs: object) -> None:
        raise DatabaseError("gone")

    make_experiment(status="running", unit_type="user_id", key="shown")
    before = _payload(decide)
    monkeypatch.setattr("experiments.wire.growthbook.last_change_at", down)
    monkeypatch.setattr("experiments.wire.growthbook.MINUTE", 0.000_001)
    monkeypatch.setattr(config, "_version", down)
    assert _payload(decide) == before
    # Another process knows the experiments, from the file say, but not when they were changed.
    other = ask(Decide(OpenGate()), FEATURES, method="GET")
    assert (other.status, other.body["features"]) == (200, before.body["features"])


def test_payload__unknown_key_or_post__is_refused(decide: Decide) -> None:
    assert ask(decide, "/api/features/other", method="GET").status == 401
    assert ask(decide, FEATURES).status == 405


def test_left_out__each_cause__has_its_reason() -> None:
    day = timedelta(days=1)
    segment = {"any": [{"attribute": "segments", "op": "contains", "value": "vip"}]}
    make_experiment(status="running", key="profiles")
    make_experiment(status="running", unit_type="user_id", key="segments", targeting=segment)
    make_experiment(status="paused", unit_type="user_id", key="paused")
    make_experiment(status="running", unit_type="user_id", key="phases")
    lifecycle.open_phase(experiment_key="phases", at=STARTED + day, weights={"control": 0.1, "treatment": 0.9})
    make_experiment(status="running", unit_type="anonymous", key="holdout")
    set_holdout(share=0.1, at=STARTED + day, unit_type="anonymous", message="younger")
    make_experiment(status="stopped", unit_type="user_id", key="stopped")
    make_experiment(status="draft", unit_type="user_id", key="draft")
    alike = (ArmSpec("control", "Control", 0.5, is_control=True), ArmSpec("treatment", "Treatment", 0.5))
    make_experiment(status="running", unit_type="anonymous", key="alike", arms=alike)
    for number, needed in enumerate(["phases", "alike", "stopped"]):
        kind = "anonymous" if needed == "alike" else "user_id"
        needs = (Requirement(needed, "treatment"),)
        make_experiment(status="running", unit_type=kind, key=f"needs-{number}", requires=needs)
    at = STARTED + 2 * day
    reasons = {key: why_left_out(one, at=at) for key, one in list_configs().items()}
    assert {key: reason and reason.code for key, reason in reasons.items()} == {
        "profiles": "profiles",
        "segments": "segments",
        "paused": "paused",
        "phases": "phases",
        "holdout": "holdout",
        "stopped": None,
        "alike": "holdout",
        "needs-0": "prerequisite",
        "needs-1": "prerequisite",
        "needs-2": None,
    }
    assert all(str(reason).endswith(".") for reason in reasons.values() if reason is not None)
    assert left_out_reason(experiment_key="draft", at=at) is None
    found = left_out_reason(experiment_key="paused", at=at)
    assert found is not None
    assert found.code == "paused"


def test_remote__their_sdk__serves_our_arm_and_reports_it(decide: Decide) -> None:
    experiment = make_experiment(status="running", unit_type="user_id", key="remote")
    make_experiment(status="running", key="of-profiles")
    person = {"id": 7, "consent": True}
    seen = ask(decide, EVALUATE, {"attributes": person}, key="")
    assert (seen.status, seen.headers["Cache-Control"]) == (200, "no-store")
    assert set(seen.body["features"]) == {"remote"}
    reported: list[tuple[str, str]] = []

    def on_view(experiment: TheirExperiment[Any], result: Result[Any], **_rest: Any) -> None:
        reported.append((experiment.key, result.key))

    theirs = GrowthBook(features=seen.body["features"], attributes=person, on_experiment_viewed=on_view)
    ours = evaluate(list_configs()["remote"], unit_id="7", attributes=person, at=datetime.now(UTC))
    assert theirs.eval_feature("remote").value == ours.payload
    assert reported == [(experiment.key, ours.arm_key)]
    theirs.destroy()


@pytest.mark.parametrize("payload", [{}, [], {"$eq": 1}, {"title": "plain"}])
def test_left_out__required_arm_that_its_value_does_not_tell__is_left_out(payload: Any) -> None:
    arms = (
        ArmSpec("control", "Control", 0.5, is_control=True, payload={"title": "plain"}),
        ArmSpec("treatment", "Treatment", 0.5, payload=payload),
    )
    make_experiment(status="running", unit_type="user_id", key="parent", arms=arms)
    needs = (Requirement("parent", "treatment"),)
    make_experiment(status="running", unit_type="user_id", key="child", requires=needs)
    found = left_out_reason(experiment_key="child", at=STARTED)
    assert found is not None
    assert found.code == "prerequisite"


def test_remote__shipped_behind_a_random_arm__needs_consent(decide: Decide) -> None:
    make_experiment(status="running", unit_type="user_id", key="parent")
    needs = (Requirement("parent", "treatment"),)
    make_experiment(status="decided", unit_type="user_id", key="child", requires=needs)
    values = []
    for consent in (False, True):
        for number in range(20):
            person = {"id": f"u{number}", "consent": consent}
            values.append("rules" in ask(decide, EVALUATE, {"attributes": person}).body["features"]["child"])
    assert not any(values[:20])
    assert set(values[20:]) == {True, False}


@pytest.mark.parametrize("attributes", [{}, {"id": "u"}, {"id": True, "consent": True}, {"id": 2**70, "consent": True}])
def test_remote__no_consent_or_no_unit__has_no_value(decide: Decide, attributes: Mapping[str, Any]) -> None:
    make_experiment(status="running", unit_type="user_id", key="remote")
    seen = ask(decide, EVALUATE, {"attributes": attributes})
    assert seen.body["features"]["remote"] == {"defaultValue": None}


def test_remote__shipped_and_sticky__are_expressed(decide: Decide) -> None:
    make_experiment(status="decided", unit_type="user_id", key="shipped")
    paused = make_experiment(status="paused", unit_type="user_id", key="paused")
    expose(paused, "u1", arm="treatment")
    features = ask(decide, EVALUATE, {"attributes": {"id": "u1", "consent": True}}).body["features"]
    assert features["shipped"] == {"defaultValue": None, "rules": [{"force": {"title": "new"}}]}
    assert features["paused"]["rules"][0]["tracks"][0]["result"]["key"] == "treatment"


@pytest.mark.parametrize("body", [b"{", b"3", b"{}", b'{"attributes": []}'])
def test_remote__nonsense__is_400(decide: Decide, body: bytes) -> None:
    assert ask(decide, EVALUATE, body).status == 400
    assert ask(decide, "/api/eval/other", b"{}").status == 401


def test_track__exposure__becomes_a_message_of_the_hashed_unit(decide: Decide, gate: OpenGate) -> None:
    exposure = {"experimentId": "e", "variationId": "treatment", "hashAttribute": "id", "hashValue": "u1"}
    events = [
        {"event_name": "Experiment Viewed", "properties_json": exposure, "user_id": None, "device_id": "d"},
        {"event_name": "Experiment Viewed", "properties_json": exposure | {"hashAttribute": "anonymousId"}},
        {"event_name": "Experiment Viewed", "properties_json": exposure | {"hashAttribute": "account"}, "user_id": "u"},
        {"event_name": "Page View", "properties_json": {"path": "/"}, "device_id": "d"},
        {"event_name": "Bare", "user_id": "u"},
        {"event_name": 3},
        "nonsense",
    ]
    seen = ask(decide, f"/track?a=b&client_key={KEY}", events, key="")
    assert (seen.status, seen.headers["Access-Control-Allow-Origin"]) == (200, "*")
    told = [{name: value for name, value in one.items() if name != "messageId"} for one in gate.reported]
    properties = {"experiment_id": "e", "variation_id": "treatment"}
    track = {"type": "track", "event": "Experiment Viewed"}
    assert told == [
        {**track, "properties": properties | {"unit_type": "user_id"}, "userId": "u1", "anonymousId": "d"},
        {**track, "properties": properties | {"unit_type": "anonymous"}, "anonymousId": "u1"},
        {**track, "properties": properties | {"unit_type": "account", "group_id": "u1"}, "userId": "u"},
        {"type": "track", "event": "Page View", "properties": {"path": "/"}, "anonymousId": "d"},
        {"type": "track", "event": "Bare", "properties": {}, "userId": "u"},
    ]
    assert len({one["messageId"] for one in gate.reported}) == 5


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (f"/track?client_key={KEY}", {}, 400),
        (f"/track?client_key={KEY}", [{}] * 501, 400),
        ("/track?client_key=other", [], 401),
        ("/track", [], 401),
    ],
)
def test_track__nonsense__is_refused(decide: Decide, gate: OpenGate, path: str, body: Any, status: int) -> None:
    assert ask(decide, path, body).status == status
    assert gate.reported == []


def test_track__gzip__is_read(decide: Decide, gate: OpenGate) -> None:
    packed = gzip.compress(b'[{"event_name": "Bare", "user_id": "u"}]')
    assert ask(decide, f"/track?client_key={KEY}", packed, HTTP_CONTENT_ENCODING="gzip").status == 200
    assert [one["event"] for one in gate.reported] == ["Bare"]


def test_track__disk_full__is_503(decide: Decide, gate: OpenGate, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(gate, "report", full)
    seen = ask(decide, f"/track?client_key={KEY}", [])
    assert (seen.status, seen.headers["Retry-After"]) == (503, "30")
