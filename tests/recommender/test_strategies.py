from __future__ import annotations

from typing import Any

import pytest

from recommender import registry
from recommender.algorithms.popularity import Popularity
from recommender.errors import InvalidStrategy, UnknownAlgorithm, UnknownStrategy
from recommender.models import ChangeLog, EventWeight, Strategy
from recommender.selectors import list_strategy_choices
from recommender.services.filters import Filters, decode_filters, encode_filters
from recommender.services.strategies import (
    StrategyDesign,
    create_strategy,
    ensure_default_strategies,
    revise_strategy,
)
from tests.recommender.conftest import NOW, later


class Plugged(Popularity):
    key = "plugged"


class Thief(Popularity):
    """Has the key of the built-in one."""


@pytest.mark.django_db
def test_defaults__twice__nothing_changes_and_edits_stay() -> None:
    ensure_default_strategies(at=NOW)
    EventWeight.objects.filter(event_type="Product Viewed").update(weight=2)
    Strategy.objects.filter(slug="content").update(name="Mine")
    ensure_default_strategies(at=later(days=1))
    assert list_strategy_choices() == [
        ("content", "Mine"),
        ("item-knn", "Others also chose"),
        ("user-knn", "People like you"),
        ("popularity", "Popular now"),
        ("trending", "Trending now"),
    ]
    weights = dict(EventWeight.objects.values_list("event_type", "weight"))
    assert weights == {"Product Viewed": 2, "Product Added": 3, "Order Completed": 5}
    assert Strategy.objects.filter(versions__number=2).count() == 0


@pytest.mark.django_db
def test_revise__new_design__next_version_and_change_log() -> None:
    ensure_default_strategies(at=NOW)
    version = revise_strategy(
        slug="content", design=StrategyDesign(algorithm="item-knn", fallbacks=("popularity",)), at=later(days=1)
    )
    strategy = Strategy.objects.get(slug="content")
    assert version.number == 2
    assert strategy.current_version == version
    assert [old.algorithm for old in strategy.versions.order_by("number")] == ["content", "item-knn"]
    log = ChangeLog.objects.filter(object_type="strategy", object_id="content").order_by("-at").first()
    assert log is not None
    assert log.transition == "revise"
    assert log.snapshot["algorithm"] == "item-knn"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("design", "error"),
    [
        (StrategyDesign(algorithm="nonsense"), UnknownAlgorithm),
        (StrategyDesign(algorithm="item-knn", parameters={"nonsense": 1}), InvalidStrategy),
        (StrategyDesign(algorithm="item-knn", parameters={"neighbours": "many"}), InvalidStrategy),
        (StrategyDesign(algorithm="item-knn", parameters={"neighbours": 1.5}), InvalidStrategy),
        (StrategyDesign(algorithm="item-knn", parameters={"shrinkage": -1.0}), InvalidStrategy),
        (StrategyDesign(algorithm="item-knn", parameters={"weighting": "nonsense"}), InvalidStrategy),
        (StrategyDesign(algorithm="user-knn", parameters={"similarity": "nonsense"}), InvalidStrategy),
        (StrategyDesign(algorithm="user-knn", parameters={"ranking": "nonsense"}), InvalidStrategy),
        (StrategyDesign(algorithm="popularity", fallbacks=("new",)), InvalidStrategy),
        (StrategyDesign(algorithm="popularity", fallbacks=("gone",)), InvalidStrategy),
    ],
)
def test_create__bad_design__refused(design: StrategyDesign, error: type[Exception]) -> None:
    with pytest.raises(error):
        create_strategy(slug="fresh", name="Fresh", design=design, at=NOW)
    assert not Strategy.objects.exists()


@pytest.mark.django_db
def test_create__slug_taken__refused() -> None:
    design = StrategyDesign(algorithm="popularity")
    create_strategy(slug="fresh", name="Fresh", design=design, at=NOW)
    with pytest.raises(InvalidStrategy, match="taken"):
        create_strategy(slug="fresh", name="Fresh", design=design, at=NOW)


@pytest.mark.django_db
def test_revise__unknown__raises() -> None:
    with pytest.raises(UnknownStrategy):
        revise_strategy(slug="gone", design=StrategyDesign(algorithm="popularity"), at=NOW)


def test_filters__encoded__decode_to_the_same() -> None:
    filters = Filters(categories=("a",), price_min=3, max_per_category=2, seen=())
    assert decode_filters(encode_filters(filters)) == filters
    assert decode_filters({}) == Filters()


@pytest.mark.parametrize(
    "stored",
    [
        {"schema": 2},
        {"nonsense": 1},
        {"categories": "a"},
        {"categories": [1]},
        {"price_min": -1},
        {"price_min": "1"},
        {"max_per_category": None},
        {"max_per_category": True},
    ],
)
def test_filters__bad_json__refused(stored: dict[str, Any]) -> None:
    with pytest.raises(InvalidStrategy):
        decode_filters(stored)


def _fresh(settings: Any, paths: list[str]) -> None:
    settings.RECOMMENDER_ALGORITHMS = paths
    registry.algorithms.cache_clear()


def test_registry__dotted_path__found(settings: Any) -> None:
    try:
        _fresh(settings, ["tests.recommender.test_strategies.Plugged"])
        assert isinstance(registry.build("plugged", {}), Plugged)
    finally:
        registry.algorithms.cache_clear()


@pytest.mark.parametrize("name", ["Thief", "NOW"])
def test_registry__key_in_use_or_no_algorithm__refused(settings: Any, name: str) -> None:
    try:
        _fresh(settings, [f"tests.recommender.test_strategies.{name}"])
        with pytest.raises(InvalidStrategy):
            registry.algorithms()
    finally:
        registry.algorithms.cache_clear()
