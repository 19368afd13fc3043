"""The permission matrix of the management API: every endpoint and method, every role, every scope of a key."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from config.webapi.access import needed
from marketing.roles import ROLES
from tests.webapi.conftest import make_api

pytestmark = pytest.mark.django_db

EXPERIMENT = {"key": "matrix"}
SEGMENT = {"slug": "matrix"}
PROFILE = {"public_id": "PROFILE"}
STRATEGY = {"slug": "popularity"}
SOURCE = {"name": "program"}
LOOK = "experiments.view_experiment"
LAUNCH = "experiments.launch_experiment"
DECIDE = "experiments.decide_experiment"
ROWS: dict[tuple[str, str], tuple[str | tuple[str, ...], dict[str, str]]] = {
    ("experiments-api:experiments", "GET"): (LOOK, {}),
    ("experiments-api:experiments", "POST"): ("experiments.add_experiment", {}),
    ("experiments-api:experiment", "GET"): (LOOK, EXPERIMENT),
    ("experiments-api:experiment", "PATCH"): ("experiments.change_experiment", EXPERIMENT),
    ("experiments-api:checklist", "GET"): (LOOK, EXPERIMENT),
    ("experiments-api:transition", "POST"): (LAUNCH, EXPERIMENT | {"name": "pause"}),
    ("experiments-api:phases", "POST"): (LAUNCH, EXPERIMENT),
    ("experiments-api:decide", "POST"): (DECIDE, EXPERIMENT),
    ("experiments-api:revert", "POST"): (DECIDE, EXPERIMENT),
    ("experiments-api:refresh", "POST"): (LOOK, EXPERIMENT),
    ("experiments-api:results", "GET"): (LOOK, EXPERIMENT),
    ("experiments-api:table", "GET"): (LOOK, EXPERIMENT | {"table": "results"}),
    ("experiments-api:snapshots", "GET"): (LOOK, EXPERIMENT),
    ("experiments-api:snapshot", "GET"): (LOOK, EXPERIMENT | {"snapshot_id": "1"}),
    ("experiments-api:metrics", "GET"): (LOOK, {}),
    ("experiments-api:metrics", "POST"): ("experiments.change_experiment", {}),
    ("experiments-api:metric-publish", "POST"): ("experiments.change_experiment", {"key": "conversion"}),
    ("experiments-api:metric", "GET"): (LOOK, {"key": "conversion"}),
    ("experiments-api:holdouts", "GET"): (LOOK, {}),
    ("experiments-api:holdouts", "POST"): (DECIDE, {}),
    ("experiments-api:changes", "GET"): (LOOK, {}),
    ("experiments-api:explain", "POST"): (LOOK, {}),
    ("recommender-api:items", "GET"): ("recommender.view_strategy", {}),
    ("recommender-api:items", "PUT"): ("recommender.change_item", {}),
    ("recommender-api:item", "GET"): ("recommender.view_strategy", {"item_id": "item-1"}),
    ("recommender-api:strategies", "GET"): ("recommender.view_strategy", {}),
    ("recommender-api:strategies", "POST"): ("recommender.change_strategy", {}),
    ("recommender-api:strategy", "GET"): ("recommender.view_strategy", STRATEGY),
    ("recommender-api:strategy", "PATCH"): ("recommender.change_strategy", STRATEGY),
    ("recommender-api:train", "POST"): ("recommender.train_strategy", STRATEGY),
    ("recommender-api:roll-back", "POST"): ("recommender.train_strategy", STRATEGY),
    ("recommender-api:models", "GET"): ("recommender.view_strategy", STRATEGY),
    ("recommender-api:publish", "POST"): ("recommender.train_strategy", STRATEGY | {"model_id": "1"}),
    ("recommender-api:recommendations", "POST"): ("recommender.view_strategy", {}),
    ("recommender-api:changes", "GET"): ("recommender.view_strategy", {}),
    ("marketing-api:segments", "GET"): ("marketing.view_segment", {}),
    ("marketing-api:segments", "POST"): ("marketing.add_segment", {}),
    ("marketing-api:segment-count", "POST"): ("marketing.view_segment", {}),
    ("marketing-api:segment", "GET"): ("marketing.view_segment", SEGMENT),
    ("marketing-api:segment", "PATCH"): ("marketing.change_segment", SEGMENT),
    ("marketing-api:members", "GET"): ("marketing.view_profile", SEGMENT),
    ("marketing-api:segment-refresh", "POST"): ("marketing.change_segment", SEGMENT),
    ("marketing-api:segment-archive", "POST"): ("marketing.change_segment", SEGMENT),
    ("marketing-api:segment-restore", "POST"): ("marketing.change_segment", SEGMENT),
    ("marketing-api:lists", "POST"): ("marketing.add_segment", {}),
    ("marketing-api:imports", "GET"): ("marketing.view_segment", SEGMENT),
    ("marketing-api:imports", "POST"): ("marketing.change_segment", SEGMENT),
    ("marketing-api:export", "POST"): (("marketing.view_segment", "marketing.view_profile"), SEGMENT),
    ("marketing-api:profiles", "GET"): ("marketing.view_profile", {}),
    ("marketing-api:profile", "GET"): ("marketing.view_profile", PROFILE),
    ("marketing-api:traits", "PATCH"): ("marketing.change_profile", PROFILE),
    ("marketing-api:events", "GET"): ("marketing.view_profile", PROFILE),
    ("marketing-api:campaigns", "GET"): ("marketing.view_campaign", {}),
    ("marketing-api:campaign", "GET"): ("marketing.view_campaign", SEGMENT),
    ("marketing-api:campaigns", "POST"): ("marketing.add_campaign", {}),
    ("marketing-api:campaign", "PATCH"): ("marketing.change_campaign", SEGMENT),
    ("marketing-api:checklist", "GET"): ("marketing.view_campaign", SEGMENT),
    ("marketing-api:transition", "POST"): ("marketing.launch_campaign", SEGMENT | {"name": "pause"}),
    ("marketing-api:sources", "GET"): ("marketing.view_source", {}),
    ("marketing-api:sources", "POST"): ("marketing.add_source", {}),
    ("marketing-api:keys", "GET"): ("marketing.view_writekey", SOURCE),
    ("marketing-api:keys", "POST"): ("marketing.add_writekey", SOURCE),
    ("marketing-api:key-revoke", "POST"): ("marketing.change_writekey", SOURCE | {"key_id": "0"}),
    ("marketing-api:key-rotate", "POST"): (
        ("marketing.add_writekey", "marketing.change_writekey"),
        SOURCE | {"key_id": "0"},
    ),
    ("marketing-api:changes", "GET"): ("marketing.view_campaign", {}),
}


def endpoints() -> set[tuple[str, str]]:
    """Every name and method that is served."""
    return {
        (f"{app.app_name}:{pattern.name}", method)
        for app in get_resolver().url_patterns
        if isinstance(app, URLResolver) and str(app.app_name).endswith("-api")
        for pattern in app.url_patterns
        if isinstance(pattern, URLPattern)
        for method in pattern.callback.view_class.permissions  # type: ignore[attr-defined] # an Endpoint's
    }


def address(name: str, arguments: dict[str, str], profile: str) -> str:
    return reverse(name, kwargs={key: profile if value == "PROFILE" else value for key, value in arguments.items()})


def test_matrix__endpoints_and_rows__are_the_same_set() -> None:
    assert endpoints() == set(ROWS)


@pytest.mark.parametrize("role", [*ROLES, ""])
def test_matrix__key_of_each_role__reaches_what_its_row_says(world: str, role: str) -> None:
    api, wrong = make_api(role=role), []
    for (name, method), (permission, arguments) in ROWS.items():
        where = address(name, arguments, world)
        answer = api.ask(method, f"http://testserver{where}", {} if method != "GET" else None)
        is_allowed = role == "" or set(needed(permission)) <= set(ROLES[role])
        if (answer.status_code != 403) is not is_allowed or answer.status_code >= 500:
            wrong.append(f"{method} {where}: {answer.status_code}, the row says {permission}")
    assert wrong == []


def test_matrix__key_that_only_reads__changes_nothing(world: str) -> None:
    api, wrong = make_api(scope="read"), []
    for (name, method), (_permission, arguments) in ROWS.items():
        answer = api.ask(method, f"http://testserver{address(name, arguments, world)}", {} if method != "GET" else None)
        if (answer.status_code == 403) is (method == "GET"):
            wrong.append(f"{method} {name}: {answer.status_code}")
    assert wrong == []


@pytest.mark.parametrize("secret", ["", "Bearer ", "Bearer hk_nonsense", "Bearer \udce9", "Basic aGs6"])
def test_matrix__without_a_key__is_401_with_what_to_do(world: str, secret: str) -> None:
    client = Client(headers={"authorization": secret} if secret else {})
    for (name, method), (_permission, arguments) in ROWS.items():
        answer = client.generic(method, address(name, arguments, world))
        assert answer.status_code == 401, name
        assert answer["WWW-Authenticate"] == 'Bearer realm="Holdout"'
        assert "Authorization: Bearer" in answer.json()["remedy"]
