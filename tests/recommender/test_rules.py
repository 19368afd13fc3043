"""What a strategy's filters and rules do to a slate."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from recommender.errors import InvalidStrategy
from recommender.models import Item, Slate, StrategyVersion
from recommender.reports import Recommendation
from recommender.services.assortment import DRAFT
from recommender.services.filters import Filters, decode_filters, encode_filters
from recommender.services.rules import Rules, decode_rules, encode_rules
from recommender.services.serving import recommend
from recommender.services.snapshots import current_catalogue, forget_snapshots
from recommender.services.strategies import StrategyDesign, create_strategy, design_of, revise_strategy
from recommender.services.training import train
from tests.recommender.conftest import DAY_US, NOW, NOW_US, later
from tests.recommender.fakes import FakeInteractions

pytestmark = pytest.mark.usefixtures("trained_shop")


def _ask(user_id: str = "u0", k: int = 6, **more: Any) -> Recommendation:
    about = {"strategy": "item-knn", "context": {}, "at": NOW, "budget_ms": 60_000, **more}
    return recommend(user_id=user_id, k=k, **about)


def _ids(answer: Recommendation) -> list[str]:
    return [item.item_id for item in answer.items]


def _use(rules: Rules | None = None, filters: Filters | None = None, algorithm: str = "item-knn") -> None:
    design = StrategyDesign(
        algorithm=algorithm,
        rules=rules or Rules(),
        filters=filters or Filters(seen=()),
        fallbacks=("popularity",),
    )
    revise_strategy(slug="item-knn", design=design, at=NOW)
    forget_snapshots()


def test_pinned__first_in_their_order_where_the_filters_allow() -> None:
    _use(Rules(pinned=("g2-1", "gone", "g1-1", "g1-0")), Filters(seen=(), blocked=("g1-1",)))
    answer = _ask()
    assert _ids(answer)[:2] == ["g2-1", "g1-0"]
    assert "g1-1" not in _ids(_ask(k=100))
    assert (answer.items[0].reason.code, answer.items[0].source, answer.fallback) == ("editorial", "item-knn", "")


def test_boosted_and_buried__change_the_order_not_the_set() -> None:
    _use()
    plain = _ids(_ask(k=9))
    best, ninth = plain[0], plain[-1]
    _use(Rules(buried=(f"item={best}",), bury_percent=100))
    assert _ids(_ask(k=9))[0] != best
    _use(Rules(boosted=(f"item={ninth}",), boost_percent=1000))
    assert _ids(_ask(k=9)).index(ninth) < 8
    _use(Rules(boosted=("category=Shelf 0",), boost_percent=900))
    assert all(name.startswith("g0-") for name in _ids(_ask(k=5)))


def test_promoted__their_share_of_the_places_even_without_a_score() -> None:
    _use(Rules(promoted=("tag=even", "item=new"), promoted_percent=50))
    answer = _ask(k=6)
    even = [name for name in _ids(answer) if name == "new" or name[-1] in "0246"]
    assert len(even) >= 3
    _use(Rules(promoted=("item=new",), promoted_percent=50))
    answer = _ask(k=4)
    assert _ids(answer)[1] == "new"
    assert answer.items[1].reason.code == "editorial"


def test_damping__the_more_popular_the_smaller_the_factor() -> None:
    _use()
    plain = {item.item_id: item.score for item in _ask(k=9).items}
    catalogue = current_catalogue()
    factor = catalogue.applied(version_id=DRAFT, filters=Filters(), rules=Rules(damping_percent=50)).factor
    assert factor is not None
    assert factor == pytest.approx((1 + catalogue.popularity) ** -0.5)
    assert list(factor) == sorted(factor)  # the catalogue stands by popularity
    _use(Rules(damping_percent=100))
    assert {item.item_id: item.score for item in _ask(k=9).items} == plain  # what is logged is the model's own score


def test_variety__more_categories_among_the_first() -> None:
    _use()
    plain = Counter(item.category for item in _ask(k=6).items)
    _use(Rules(diversity_percent=60))
    assert len(Counter(item.category for item in _ask(k=6).items)) > len(plain)


def test_exploration__chances_logged_and_drawn_items_marked() -> None:
    _use(Rules(explore="epsilon", explore_percent=50, explore_pool=20, new_items=1, new_item_weight=5))
    answers = [_ask(k=4) for _ in range(40)]
    slates = {slate.recommendation_id: slate for slate in Slate.objects.all()}
    for answer in answers:
        assert slates[answer.recommendation_id].propensities == [item.propensity for item in answer.items]
        for item in answer.items:
            assert (item.propensity < 0.5) == (item.reason.code == "explored")
    assert any("new" in _ids(answer) for answer in answers)  # nobody has chosen it: no model has a score for it


def test_exploration__stranger__fallback_draws_too() -> None:
    _use(Rules(explore="softmax", explore_percent=30))
    answer = _ask("stranger")
    assert answer.fallback == "popularity"
    assert all(0 < item.propensity < 1 for item in answer.items)


def test_stock__counted_and_zero__left_out_unless_told() -> None:
    Item.objects.filter(item_id="g0-1").update(stock=0, updated_at=later(seconds=1))
    Item.objects.filter(item_id="g0-2").update(stock=3, updated_at=later(seconds=1))
    _use()
    assert "g0-1" not in _ids(_ask(k=100))
    assert "g0-2" in _ids(_ask(k=100))
    _use(filters=Filters(seen=(), show_out_of_stock=True))
    assert "g0-1" in _ids(_ask(k=100))


def test_age__restricted_item__only_for_people_known_to_be_old_enough() -> None:
    Item.objects.filter(item_id="g0-1").update(min_age=18, updated_at=later(seconds=1))
    _use()
    assert "g0-1" not in _ids(_ask(k=100))
    assert "g0-1" not in _ids(_ask(k=100, age=17))
    assert "g0-1" in _ids(_ask(k=100, age=18))
    _use(filters=Filters(seen=(), hide_age_restricted=True))
    assert "g0-1" not in _ids(_ask(k=100, age=40))


def test_bought__within_the_days__left_out_and_back_afterwards() -> None:
    _use(filters=Filters(seen=(), bought_days=30))
    FakeInteractions.rows.append(("u0", "g2-1", "Order Completed", NOW_US - 29 * DAY_US))
    FakeInteractions.rows.append(("u0", "g2-2", "Order Completed", NOW_US - 31 * DAY_US))
    shown = _ids(_ask(k=100))
    assert "g2-1" not in shown
    assert "g2-2" in shown


def test_bought__long_history__asked_for_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    from recommender.services import serving

    monkeypatch.setattr(serving, "HISTORY_LIMIT", 3)
    _use(filters=Filters(seen=(), bought_days=30))
    FakeInteractions.rows.append(("u0", "g2-1", "Order Completed", NOW_US - 29 * DAY_US))
    FakeInteractions.rows += [("u0", "g0-0", "Product Viewed", NOW_US - n) for n in range(5)]
    assert "g2-1" not in _ids(_ask(k=100))


def test_dismissed__never_again_even_where_repeats_are_allowed() -> None:
    _use()
    FakeInteractions.rows.append(("u0", "g2-1", "Product Dismissed", NOW_US - 400 * DAY_US))
    assert "g2-1" not in _ids(_ask(k=100))
    assert "g2-1" in _ids(_ask("u1", k=100))


def test_basis__session_of_a_stranger__goes_by_its_items_and_asks_for_no_history() -> None:
    answer = _ask("", k=3, basis=["g1-0", "g1-1"])
    assert answer.fallback == ""
    assert all(name.startswith("g1-") for name in _ids(answer))
    assert not {"g1-0", "g1-1"} & set(_ids(answer))
    assert set(answer.items[0].reason.item_ids) <= {"g1-0", "g1-1"}
    assert FakeInteractions.calls == []


def test_basis__known_person__similar_to_the_item_and_nothing_seen() -> None:
    seen = {row[1] for row in FakeInteractions.rows if row[0] == "u0"}
    answer = _ask("u0", k=4, basis=["g2-3"])
    assert [name for name in _ids(answer) if name.startswith("g2-")]
    assert not seen & set(_ids(answer))


def test_only__given_items__reordered_and_nothing_else() -> None:
    _use()
    wanted = ["g2-0", "g0-7", "g1-4", "nowhere"]
    answer = _ask(k=10, only=wanted)
    assert set(_ids(answer)) == {"g2-0", "g0-7", "g1-4"}
    assert _ids(answer)[0] == "g0-7"  # the person's own taste


def test_new_event__between_trainings__changes_the_next_slate() -> None:
    """Nothing about people is in an item model: what somebody does now counts from the next request on."""
    design = StrategyDesign(algorithm="ease", parameters={"regularization": 1.0})
    create_strategy(slug="ease", name="EASE", design=design, at=NOW)
    train(slug="ease", at=NOW)
    for slug in ("item-knn", "ease"):
        assert _ask("fresh", strategy=slug, k=3).fallback_reason == "no_history"
    FakeInteractions.rows.append(("fresh", "g1-2", "Product Viewed", NOW_US - 5))
    for slug in ("item-knn", "ease"):
        answer = _ask("fresh", strategy=slug, k=3)
        assert answer.fallback == ""
        assert _ids(answer)[0].startswith("g1-") or _ids(answer)[0] == "all"
        assert sum(name.startswith("g1-") for name in _ids(answer)) >= 1


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        ({"schema": 2}, "unknown schema 2"),
        ({"boosts": []}, "unknown rule 'boosts'"),
        ({"boosted": "category=x"}, "must be a list of texts"),
        ({"boosted": ["Shelf 0"]}, "is no mark"),
        ({"explore": 5}, "must be a text"),
        ({"explore": "ucb"}, "epsilon, softmax or empty"),
        ({"explore": "softmax", "explore_percent": 0}, "temperature of 0"),
        ({"explore": "epsilon", "explore_pool": 1}, "between 2 and 500, got 1"),
        ({"diversity_percent": 101}, "between 0 and 100, got 101"),
        ({"diversity_percent": True}, "whole number"),
        ({"new_items": 501}, "new_items"),
    ],
)
def test_decode_rules__nonsense__says_what_and_why(stored: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidStrategy, match=words):
        decode_rules(stored)


def test_decode__what_was_encoded__is_the_same() -> None:
    rules = Rules(pinned=("a",), boosted=("tag=x",), explore="softmax", new_items=3)
    filters = Filters(seen=(), bought_days=5, show_out_of_stock=True, price_max=7)
    assert decode_rules(json.loads(json.dumps(encode_rules(rules)))) == rules
    assert decode_filters(json.loads(json.dumps(encode_filters(filters)))) == filters
    with pytest.raises(InvalidStrategy, match="true or false"):
        decode_filters({"show_out_of_stock": "yes"})


def test_design_of__stored_version__is_the_design() -> None:
    design = StrategyDesign(
        algorithm="item-knn",
        parameters={"neighbours": 7},
        filters=Filters(max_per_category=2),
        rules=Rules(diversity_percent=20),
        fallbacks=("popularity",),
        window_days=30,
        leave_out_treated=True,
    )
    assert design_of(revise_strategy(slug="item-knn", design=design, at=NOW)) == design


def test_version__after_the_migrations__still_never_changes() -> None:
    with pytest.raises(IntegrityError, match="never changes"), transaction.atomic():
        StrategyVersion.objects.update(rules={})
