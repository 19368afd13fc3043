"""Experiments through the management API: the whole life of one, and every refusal in one shape."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from config.webapi.models import StoredAnswer
from experiments.models import ChangeLog, Experiment
from tests.factories.experiments import make_experiment
from tests.webapi.conftest import Api

pytestmark = pytest.mark.django_db
DESIGN: dict[str, Any] = {
    "key": "hero",
    "name": "Hero",
    "arms": [
        {"key": "control", "name": "Control", "weight": 0.5, "is_control": True},
        {"key": "new", "name": "New", "weight": 0.5, "payload": {"title": "Hi 🙂"}},
    ],
    "metrics": [{"key": "conversion", "role": "primary"}],
    "unit_type": "user_id",
    "planned_size": 1_000,
}


@pytest.fixture(autouse=True)
def _metrics(db: None) -> None:
    from experiments.services.metrics import ensure_builtin_metrics

    ensure_builtin_metrics()


def test_experiment__whole_life__is_made_run_decided_and_reverted(api: Api) -> None:
    made = api.post("experiments/", DESIGN)
    assert made.status_code == 201
    assert made["Location"].endswith("/api/v1/experiments/hero/")
    assert made.json()["status"] == "draft"
    assert made.json()["arms"][1] == {
        "key": "new", "name": "New", "weight": 0.5, "is_control": False, "payload": {"title": "Hi 🙂"}
    }  # fmt: skip

    changed = api.patch("experiments/hero/", {"coverage": 0.5, "planned_size": None}).json()
    assert changed["phases"][0]["coverage"] == 0.5
    open_points = [item["code"] for item in api.get("experiments/hero/checklist/").json() if not item["is_done"]]
    assert open_points == ["planned_size"]
    refused = api.post("experiments/hero/transitions/start/", {})
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (409, "planned_size")

    api.patch("experiments/hero/", {"planned_size": 500})
    assert api.post("experiments/hero/transitions/start/", {"message": "Go."}).json()["status"] == "running"
    phases = api.post("experiments/hero/phases/", {"weights": {"control": 0.2, "new": 0.8}}).json()["phases"]
    assert [phase["weights"] for phase in phases] == [{"control": 0.5, "new": 0.5}, {"control": 0.2, "new": 0.8}]
    assert "earlier phase" in api.get("experiments/hero/").json()["left_out_of_payload"]

    decided = api.post("experiments/hero/decide/", {"outcome": "ship", "arm_key": "new", "reason": "It won."}).json()
    assert (decided["status"], decided["decisions"][0]["arm"], decided["decisions"][0]["by"]) == (
        "decided", "new", api.user.username
    )  # fmt: skip
    assert api.post("experiments/hero/revert/", {"message": "Too soon."}).json()["status"] == "running"

    log = api.get("changes/experiments/?experiment=hero").json()["results"]
    assert [row["transition"] for row in log][::-1] == [
        "create", "revise", "revise", "start", "open_phase", "decide", "revert"
    ]  # fmt: skip
    assert set(ChangeLog.objects.values_list("actor", flat=True)) == {api.user.pk}


def test_experiment__repeated_with_the_same_key__is_made_once(api: Api) -> None:
    first = api.post("experiments/", DESIGN, **{"idempotency-key": "abc"})
    again = api.post("experiments/", DESIGN, **{"idempotency-key": "abc"})
    assert (first.status_code, again.status_code) == (201, 201)
    assert (first.json(), first["Location"]) == (again.json(), again["Location"])
    assert (first.headers.get("Idempotent-Replayed"), again["Idempotent-Replayed"]) == (None, "true")
    assert Experiment.objects.count() == 1
    assert [str(kept) for kept in StoredAnswer.objects.all()] == ["abc"]

    other = api.post("experiments/", DESIGN | {"key": "other"}, **{"idempotency-key": "abc"})
    assert (other.status_code, other.json()["type"]) == (422, "/api/v1/docs/#refused")


def test_experiment__failed_with_a_key__may_be_tried_again(api: Api) -> None:
    wrong = DESIGN | {"metrics": [{"key": "nonsense", "role": "primary"}]}
    assert api.post("experiments/", wrong, **{"idempotency-key": "abc"}).status_code == 422
    assert api.post("experiments/", DESIGN, **{"idempotency-key": "abc"}).status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 201, "\x01"])
def test_experiment__unusable_idempotency_key__is_400(api: Api, key: str) -> None:
    answer = api.post("experiments/", DESIGN, **{"idempotency-key": key})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/Idempotency-Key")


@pytest.mark.parametrize(
    ("change", "pointer", "said"),
    [
        ({"arms": [{"key": "a", "name": "A", "weight": 7}]}, "/arms/0/weight", "less than or equal to 1"),
        ({"key": "a b"}, "/key", "does not match"),
        ({"wieght": 1}, "/wieght", "There is no such field here. There are: key, name"),
        ({"name": None}, "/name", "may not be null"),
        ({"targeting": [1]}, "/targeting", "dictionary"),
        ({"planned_size": 10**30}, "/planned_size", "less than or equal to"),
    ],
)
def test_experiment__wrong_field__is_named_with_what_is_wrong(
    api: Api, change: dict[str, Any], pointer: str, said: str
) -> None:
    answer = api.post("experiments/", DESIGN | change)
    problem = answer.json()
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")
    assert [flaw["pointer"] for flaw in problem["errors"]] == [pointer]
    assert said in problem["errors"][0]["detail"]
    assert pointer in problem["detail"]
    assert problem["remedy"]


def test_experiment__taken_key__is_422_with_its_code(api: Api) -> None:
    make_experiment(key="hero")
    answer = api.post("experiments/", DESIGN)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "key_taken")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "experiments/nothing/", 404),
        ("PATCH", "experiments/nothing/", 404),
        ("GET", "experiments/nothing/results/", 404),
        ("GET", "experiments/nothing/snapshots/", 404),
        ("GET", "experiments/hero/snapshots/1/", 404),
        ("GET", "experiments/hero/tables/results/", 404),
        ("GET", "experiments/hero/tables/nonsense/", 404),
        ("POST", "experiments/hero/transitions/nonsense/", 404),
        ("POST", "experiments/hero/transitions/pause/", 409),
        ("POST", "experiments/hero/revert/", 409),
        ("DELETE", "experiments/hero/", 405),
        ("OPTIONS", "experiments/hero/", 405),
        ("GET", "metrics/nothing/", 404),
        ("GET", "nothing/at/all", 404),
        ("GET", "", 404),
        ("GET", "experiments/?status=nonsense", 400),
        ("GET", "experiments/?colour=red", 400),
        ("GET", "experiments/?limit=0", 400),
        ("GET", "experiments/?cursor=nonsense", 400),
        ("GET", "experiments/?search=%00", 400),
    ],
)
def test_refusal__of_any_kind__is_a_problem_document(api: Api, method: str, path: str, status: int) -> None:
    make_experiment(key="hero")
    answer = api.ask(method, path, {} if method in {"POST", "PATCH"} else None)
    assert answer.status_code == status
    assert answer["Content-Type"] == "application/problem+json"
    assert set(answer.json()) == {"type", "title", "status", "detail", "remedy", "instance", "errors"}
    assert answer.json()["status"] == status
    assert status != 405 or answer.has_header("Allow")


def test_list__page_by_page__shows_everything_once(api: Api) -> None:
    for name in ("b", "a", "b", "c", "a"):
        make_experiment(name=name)
    seen, path = [], "experiments/?limit=2&ordering=name"
    while path:
        page = api.get(path).json()
        seen += [row["key"] for row in page["results"]]
        path = page["next"]
    assert len(seen) == len(set(seen)) == 5
    names = dict(Experiment.objects.values_list("key", "name"))
    assert [names[key] for key in seen] == ["a", "a", "b", "b", "c"]


def test_list__cursor_of_another_order__is_400(api: Api) -> None:
    make_experiment()
    make_experiment()
    following = api.get("experiments/?limit=1&ordering=name").json()["next"]
    answer = api.get(following.replace("ordering=name", "ordering=-name"))
    assert answer.status_code == 400


def test_list__filters__narrow_it(api: Api) -> None:
    make_experiment(key="one", status="running", unit_type="user_id")
    make_experiment(key="two")
    found = {
        query: [row["key"] for row in api.get(f"experiments/?{query}").json()["results"]]
        for query in ("status=draft", "unit_type=user_id", "search=TW", "limit=1&ordering=key")
    }
    assert found == {
        "status=draft": ["two"], "unit_type=user_id": ["one"], "search=TW": ["two"], "limit=1&ordering=key": ["one"]
    }  # fmt: skip


def test_metric__drafted_and_published__is_the_next_version(api: Api) -> None:
    metric = api.get("metrics/conversion/").json()
    body = {name: metric[name] for name in ("name", "kind", "direction", "unit", "definition", "tags")}
    first = api.post("metrics/", body | {"key": "mine"})
    assert (first.status_code, first.json()["version"], first.json()["is_draft"]) == (201, 1, True)
    listed = [row["key"] for row in api.get("metrics/?kind=proportion&ordering=key").json()["results"]]
    assert "mine" not in listed
    assert api.get("metrics/mine/").json()["is_draft"] is True
    assert api.post("metrics/mine/publish/").json()["is_draft"] is False
    assert api.post("metrics/", body | {"key": "mine", "name": "Mine"}).json()["version"] == 2
    assert api.get("metrics/mine/").json()["version"] == 1
    assert api.post("metrics/mine/publish/").json()["name"] == "Mine"
    assert api.post("metrics/mine/publish/").status_code == 422
    wrong = api.post("metrics/", body | {"key": "mine", "definition": {"schema": 99}})
    assert wrong.json()["errors"][0]["pointer"] == "/definition"


def test_metric__built_in__cannot_be_redefined(api: Api) -> None:
    metric = api.get("metrics/conversion/").json()
    body = {name: metric[name] for name in ("key", "name", "kind", "definition")}
    answer = api.post("metrics/", body)
    assert (answer.status_code, "built in" in answer.json()["detail"]) == (422, True)


def test_holdout__set__is_listed_with_its_version(api: Api) -> None:
    assert api.post("holdouts/", {"share": 0.05, "message": "Quarter"}).json()["number"] == 1
    rows = api.get("holdouts/?unit_type=profile").json()["results"]
    assert [(row["share"], row["layer_key"], row["ends_at"]) for row in rows] == [(0.05, None, None)]
    assert api.post("holdouts/", {"share": 0.1, "layer_key": "nowhere"}).status_code == 422


def test_refresh__asked_for__is_the_workers_matter(
    api: Api, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    asked: list[int] = []
    monkeypatch.setattr("experiments.tasks.refresh_experiment.delay", asked.append)
    experiment = make_experiment(status="running")
    with django_capture_on_commit_callbacks(execute=True):
        assert api.post(f"experiments/{experiment.key}/refresh/").status_code == 202
    assert asked == [experiment.pk]


def test_session__without_csrf_token__may_read_and_not_write(client: Any) -> None:
    from django.test import Client

    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.create_superuser("root"))
    assert strict.get("/api/v1/experiments/").status_code == 200
    answer = strict.post("/api/v1/experiments/", DESIGN, content_type="application/json")
    assert (answer.status_code, answer["Content-Type"]) == (403, "application/problem+json")


def test_explain__a_unit__every_experiment_rule_by_rule(api: Api) -> None:
    rule = {"all": [{"attribute": "country", "op": "eq", "value": "DE"}]}
    make_experiment(key="own", status="running", unit_type="user_id", targeting=rule)
    make_experiment(key="other", status="running")
    asked = {"unit_type": "user_id", "unit_id": "u1", "attributes": {"country": "AT"}}
    (found,) = api.post("explain/", asked).json()
    assert (found["experiment"], found["is_in"], found["reason"]) == ("own", False, "targeting")
    assert any(
        (line["attribute"], line["value"], line["actual"], line["holds"]) == ("country", "DE", "AT", False)
        for line in found["targeting"]
    )
    (found,) = api.post("explain/", asked | {"attributes": {"country": "DE"}}).json()
    assert found["is_in"] is True
    assert [arm["is_inside"] for arm in found["arms"]].count(True) == 1
    assert api.post("explain/", {"unit_id": ""}).status_code == 400
