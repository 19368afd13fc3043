"""Slates through the management API."""

from __future__ import annotations

import pytest

from recommender.models import Slate
from recommender.services.snapshots import forget_snapshots
from tests.factories.campaigns import make_catalogue
from tests.webapi.conftest import Api

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _shop() -> None:
    forget_snapshots()
    make_catalogue(items=5)


def test_recommend__stranger__items_with_reasons_and_a_stored_slate(api: Api) -> None:
    answer = api.ask("POST", "recommendations/", {"strategy": "popularity", "k": 3}).json()
    assert [item["position"] for item in answer["items"]] == [0, 1, 2]
    assert all(item["reason"] and item["propensity"] == 1.0 for item in answer["items"])
    assert (answer["fallback"], answer["fallback_reason"]) == ("catalogue", "No model is published yet")
    assert str(Slate.objects.get().recommendation_id) == answer["recommendation_id"]
    assert Slate.objects.get().context == {"source": "api"}


def test_recommend__given_items__only_these_without_the_excluded_and_the_basket(api: Api) -> None:
    body = {
        "strategy": "popularity",
        "only": ["item-1", "item-2", "item-3"],
        "basis": ["item-1"],
        "exclude": ["item-2"],
        "log": False,
    }
    answer = api.ask("POST", "recommendations/", body).json()
    assert [item["item_id"] for item in answer["items"]] == ["item-3"]
    assert answer["short_reason"] == "Too few items pass the filters"
    assert not Slate.objects.exists()


def test_recommend__nonsense__says_what(api: Api) -> None:
    assert api.ask("POST", "recommendations/", {"strategy": "nonsense"}).status_code == 404
    wrong = api.ask("POST", "recommendations/", {"strategy": "popularity", "k": 0})
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (400, "/k")
