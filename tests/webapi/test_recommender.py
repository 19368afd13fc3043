"""Catalogue, strategies and models through the management API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from recommender.models import Item, ModelVersion, Strategy
from tests.factories.campaigns import STARTED, make_catalogue
from tests.webapi.conftest import Api

pytestmark = pytest.mark.django_db


def test_items__stored_twice__are_written_once(api: Api) -> None:
    rows = [{"item_id": "mug", "title": "Mug", "price": 9_900_000, "currency": "EUR", "category": "Kitchen"}]
    assert api.ask("PUT", "items/", {"items": rows}).json() == {"created": 1, "updated": 0, "unchanged": 0}
    assert api.ask("PUT", "items/", {"items": rows}).json() == {"created": 0, "updated": 0, "unchanged": 1}
    assert api.get("items/mug/").json()["title"] == "Mug"
    wrong = api.ask("PUT", "items/", {"items": [*rows, {"item_id": "a", "title": "A", "price": -1}]})
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (400, "/items/1/price")


def test_items__filtered_and_ordered__in_pages(api: Api) -> None:
    make_catalogue(items=5)
    Item.objects.filter(item_id="item-3").update(is_active=False, category="Else")
    page = api.get("items/?ordering=-popularity&limit=3").json()
    rest = api.get(page["next"]).json()["results"]
    assert len({row["item_id"] for row in page["results"] + rest}) == 5
    for query in ("is_active=false", "category=Else", "search=Thing+3"):
        assert [row["item_id"] for row in api.get(f"items/?{query}").json()["results"]] == ["item-3"]


def test_strategies__listed__with_their_version_in_force(api: Api) -> None:
    make_catalogue()
    slugs = [row["slug"] for row in api.get("strategies/?ordering=slug&is_active=true").json()["results"]]
    assert "popularity" in slugs
    assert api.get("strategies/popularity/").json()["current_version"]["algorithm"] == "popularity"
    log = api.get("changes/recommender/?strategy=popularity").json()["results"]
    assert [row["transition"] for row in log] == ["create"]


def test_strategy__made_and_revised__has_versions(api: Api) -> None:
    make_catalogue()
    body = {
        "name": "Fresh picks",
        "algorithm": "item-knn",
        "fallbacks": ["popularity"],
        "rules": {"pinned": ["item-1"]},
    }
    made = api.post("strategies/", body)
    assert (made.status_code, made.json()["slug"], made.json()["current_version"]["number"]) == (201, "fresh-picks", 1)
    assert made["Location"].endswith("/strategies/fresh-picks/")
    changed = api.patch("strategies/fresh-picks/", {"window_days": 30, "filters": {"bought_days": 90}}).json()
    version = changed["current_version"]
    assert (version["number"], version["window_days"], version["filters"]["bought_days"]) == (2, 30, 90)
    assert (version["rules"]["pinned"], version["fallbacks"]) == (["item-1"], ["popularity"])
    same = api.patch("strategies/fresh-picks/", {name: version[name] for name in ("filters", "rules", "parameters")})
    assert same.json()["current_version"]["filters"] == version["filters"]
    log = api.get("changes/recommender/?strategy=fresh-picks").json()["results"]
    assert [row["transition"] for row in log] == ["revise", "revise", "create"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"algorithm": "nope"},
        {"parameters": {"nope": 1}},
        {"filters": {"nope": 1}},
        {"rules": {"explore": "always"}},
        {"fallbacks": ["nope"]},
        {"slug": "popularity"},
        {"slug": "compare"},
    ],
)
def test_strategy__that_cannot_work__is_422(api: Api, wrong: dict[str, Any]) -> None:
    make_catalogue()
    answer = api.post("strategies/", {"name": "X", "algorithm": "item-knn"} | wrong)
    assert (answer.status_code, answer["Content-Type"]) == (422, "application/problem+json")
    assert "slug" in wrong or api.patch("strategies/popularity/", wrong).status_code == 422


def test_training__asked_for__is_the_workers_matter(
    api: Api, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("recommender.tasks.train_strategy.delay", asked.append)
    make_catalogue()
    with django_capture_on_commit_callbacks(execute=True):
        assert api.post("strategies/popularity/train/").status_code == 202
    assert asked == ["popularity"]
    assert api.get("strategies/popularity/models/?status=published").json() == {"results": [], "next": None}
    assert api.post("strategies/popularity/roll-back/").status_code == 409


def test_models__published_and_rolled_back__serve_in_turn(api: Api) -> None:
    make_catalogue()
    strategy = Strategy.objects.get(slug="popularity")
    assert strategy.current_version is not None
    made = [
        ModelVersion.objects.create(
            strategy=strategy,
            strategy_version=strategy.current_version,
            status="ready",
            until=0,
            sha256="0" * 64,
            path="model.npz",
            started_at=STARTED + timedelta(hours=n),
            trained_at=STARTED + timedelta(hours=n),
        ).pk
        for n in range(2)
    ]
    for pk in made:
        assert api.post(f"strategies/popularity/models/{pk}/publish/").json()["status"] == "published"
    assert api.post(f"strategies/popularity/models/{made[1]}/publish/").status_code == 409
    assert api.post("strategies/popularity/roll-back/").json()["id"] == made[0]
    listed = api.get("strategies/popularity/models/").json()["results"]
    assert [(row["id"], row["status"]) for row in listed] == [(made[1], "retired"), (made[0], "published")]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "items/nothing/"),
        ("GET", "strategies/nothing/"),
        ("GET", "strategies/nothing/models/"),
        ("POST", "strategies/popularity/models/1/publish/"),
    ],
)
def test_unknown__of_any_kind__is_404(api: Api, method: str, path: str) -> None:
    make_catalogue()
    assert api.ask(method, path).status_code == 404
