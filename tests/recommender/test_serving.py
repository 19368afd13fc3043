from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pytest
from django.db import DatabaseError
from pytest_django import DjangoAssertNumQueries

from recommender.algorithms.base import Arrays, Scores
from recommender.algorithms.item_knn import ItemKNN
from recommender.errors import UnknownStrategy
from recommender.models import EventWeight, Item, ModelVersion, Slate, Strategy
from recommender.reports import Recommendation
from recommender.services import serving, snapshots
from recommender.services.artefacts import models_folder
from recommender.services.filters import Filters
from recommender.services.serving import recommend, recommend_many
from recommender.services.snapshots import forget_snapshots
from recommender.services.strategies import StrategyDesign, create_strategy, revise_strategy
from recommender.services.training import train
from tests.recommender.conftest import NOW, NOW_US, later
from tests.recommender.fakes import FakeInteractions

CONTEXT = {"experiment": "spring", "arm": "treatment", "campaign": "spring"}


def _ids(answer: Recommendation) -> list[str]:
    return [item.item_id for item in answer.items]


def _ask(
    user_id: str = "u0",
    strategy: str = "item-knn",
    k: int = 4,
    *,
    exclude: Collection[str] = (),
    log: bool = True,
    budget_ms: int = 5_000,
) -> Recommendation:
    return recommend(
        user_id=user_id,
        k=k,
        strategy=strategy,
        context=CONTEXT,
        at=NOW,
        exclude=exclude,
        log=log,
        budget_ms=budget_ms,
    )


@pytest.mark.parametrize("strategy", ["item-knn", "user-knn", "content"])
def test_recommend__known_person__own_taste_first_and_nothing_seen(trained_shop: None, strategy: str) -> None:
    seen = {row[1] for row in FakeInteractions.rows if row[0] == "u0"}
    answer = _ask(strategy=strategy, k=2)
    assert answer.fallback == ""
    assert answer.fallback_reason == ""
    assert answer.model_version_id is not None
    assert all(item_id.startswith("g0-") for item_id in _ids(answer))
    assert not seen & set(_ids(answer))


def test_recommend__more_than_the_model_has__filled_by_popularity_with_a_reason(trained_shop: None) -> None:
    answer = _ask(k=19)  # 26 items, seven seen; nobody has chosen "new", so that item-kNN has no score for it
    assert len(answer.items) == 19
    assert len(set(_ids(answer))) == 19
    assert answer.fallback == "popularity"
    assert answer.fallback_reason == "too_few_items"
    assert answer.items[0].source == "item-knn"
    assert answer.items[-1].source == "popularity"


def test_recommend__more_than_the_catalogue_has__short_with_a_reason(trained_shop: None) -> None:
    answer = _ask(k=100)
    assert answer.short_reason == "catalogue_too_small"
    assert len(answer.items) == Item.objects.count() - 7  # u0 has seen seven


def test_recommend__unknown_person__popularity_because_of_no_history(trained_shop: None) -> None:
    answer = _ask(user_id="stranger")
    assert (answer.fallback, answer.fallback_reason) == ("popularity", "no_history")
    assert _ids(answer)[0] == "all"
    assert answer.items[0].reason.code == "popular"
    assert answer.model_version_id is None


def test_recommend__nobody__asks_for_no_history(trained_shop: None) -> None:
    answer = _ask(user_id="")
    assert len(answer.items) == 4
    assert FakeInteractions.calls == []


def test_recommend__any__writes_exactly_one_slate_as_answered(trained_shop: None) -> None:
    answer = _ask()
    slate = Slate.objects.get()
    assert slate.recommendation_id == answer.recommendation_id
    assert slate.items == _ids(answer)
    assert slate.scores == pytest.approx([item.score for item in answer.items])
    assert slate.propensities == [1.0] * 4
    assert slate.context == CONTEXT
    assert slate.at == NOW_US
    assert slate.model_version_id == answer.model_version_id
    assert slate.sources == [item.source for item in answer.items]


def test_recommend__log_off__writes_nothing(trained_shop: None) -> None:
    _ask(log=False)
    assert not Slate.objects.exists()


def test_recommend__warm__one_statement_besides_history(
    trained_shop: None, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    _ask()
    with django_assert_num_queries(3):  # savepoint, insert, release; history is the port's
        _ask()
    assert FakeInteractions.calls.count("recent_items") == 2
    assert "seen_items" not in FakeInteractions.calls


def test_recommend__unknown_strategy__raises(shop: None) -> None:
    with pytest.raises(UnknownStrategy, match="nonsense"):
        _ask(strategy="nonsense")


@pytest.mark.parametrize("k", [0, 501])
def test_recommend__bad_k__refused(shop: None, k: int) -> None:
    with pytest.raises(ValueError, match="k must lie"):
        _ask(k=k)


def test_recommend__reason__names_an_item_the_person_met(trained_shop: None) -> None:
    seen = {row[1] for row in FakeInteractions.rows if row[0] == "u0"}
    answer = _ask(k=1)
    assert answer.items[0].reason.code == "because_of"
    assert set(answer.items[0].reason.item_ids) <= seen
    assert _ask(strategy="user-knn", k=1).items[0].reason.code == "similar_people"


def test_recommend__excluded_hidden_expired_and_future_items__never_shown(trained_shop: None) -> None:
    best = _ids(_ask(k=2, log=False))
    Item.objects.filter(item_id="g0-0").update(is_active=False, updated_at=later(seconds=1))
    Item.objects.filter(item_id="g1-0").update(expires_at=NOW, updated_at=later(seconds=1))
    Item.objects.filter(item_id="g2-0").update(published_at=later(seconds=1), updated_at=later(seconds=1))
    forget_snapshots()
    shown = _ids(_ask(k=100, exclude=[best[0], "not in the catalogue"]))
    assert not {best[0], "g0-0", "g1-0", "g2-0"} & set(shown)


def test_recommend__item_at_the_edge_of_its_time__lower_in_upper_out(trained_shop: None) -> None:
    Item.objects.filter(item_id="new").update(published_at=NOW, expires_at=later(seconds=1))
    assert "new" in _ids(_ask(k=100))
    answer = recommend(user_id="u0", k=100, strategy="item-knn", context={}, at=later(seconds=1))
    assert "new" not in _ids(answer)


def _filtered(filters: Filters) -> list[str]:
    create_strategy(
        slug="filtered", name="Filtered", design=StrategyDesign(algorithm="popularity", filters=filters), at=NOW
    )
    train(slug="filtered", at=NOW)
    return _ids(_ask(strategy="filtered", k=100))


def test_recommend__filters__category_tag_and_price(shop: None) -> None:
    filters = Filters(
        categories=("Shelf 0", "Shelf 1"),
        exclude_categories=("Shelf 1",),
        exclude_tags=("even",),
        price_min=3_000_000,
        price_max=6_000_000,
        seen=(),
    )
    assert sorted(_filtered(filters)) == ["g0-3", "g0-5"]


def test_recommend__item_without_price__passes_no_price_filter(shop: None) -> None:
    assert "all" not in _filtered(Filters(price_max=10**12))
    assert "all" in _filtered_again(Filters(seen=()))


def _filtered_again(filters: Filters) -> list[str]:
    revise_strategy(slug="filtered", design=StrategyDesign(algorithm="popularity", filters=filters), at=NOW)
    forget_snapshots()
    return _ids(_ask(strategy="filtered", k=100))


def test_recommend__at_most_two_per_category__kept_through_all_links(trained_shop: None) -> None:
    revise_strategy(
        slug="item-knn",
        design=StrategyDesign(algorithm="item-knn", filters=Filters(max_per_category=2), fallbacks=("popularity",)),
        at=NOW,
    )
    forget_snapshots()
    answer = _ask(k=6)
    counts = Counter(item.category for item in answer.items)
    assert len(answer.items) == 6
    assert max(counts.values()) == 2


def test_recommend__only_purchases_count_as_seen__viewed_items_may_return(trained_shop: None) -> None:
    viewed = {row[1] for row in FakeInteractions.rows if row[0] == "u0" and row[2] == "Product Viewed"}
    bought = {row[1] for row in FakeInteractions.rows if row[0] == "u0" and row[2] == "Order Completed"}
    design = StrategyDesign(algorithm="item-knn", filters=Filters(seen=("Order Completed",)), fallbacks=("popularity",))
    revise_strategy(slug="item-knn", design=design, at=NOW)
    forget_snapshots()
    shown = set(_ids(_ask(k=100)))
    assert viewed <= shown
    assert not bought & shown


def test_recommend__seen_type_without_weight__left_out_by_the_same_query(trained_shop: None) -> None:
    FakeInteractions.rows.append(("u0", "g2-7", "Order Refunded", NOW_US - 1))
    design = StrategyDesign(algorithm="item-knn", filters=Filters(seen=("Order Refunded",)), fallbacks=("popularity",))
    revise_strategy(slug="item-knn", design=design, at=NOW)
    forget_snapshots()
    assert "g2-7" not in _ids(_ask(k=100))
    assert FakeInteractions.calls == ["recent_items"]


def test_recommend__long_history__asks_for_all_seen_items(trained_shop: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "HISTORY_LIMIT", 3)
    seen = {row[1] for row in FakeInteractions.rows if row[0] == "u0"}
    assert not seen & set(_ids(_ask(k=100)))


def test_recommend__model_file_deleted__fallback_and_reason(trained_shop: None) -> None:
    model = ModelVersion.objects.get(strategy__slug="item-knn")
    (models_folder() / model.path).unlink()
    answer = _ask()
    assert (answer.fallback, answer.fallback_reason) == ("popularity", "unreadable_model")
    assert len(answer.items) == 4


@pytest.mark.parametrize("damage", [b"", b"not a zip", None])
def test_recommend__model_file_damaged__fallback_and_reason(trained_shop: None, damage: bytes | None) -> None:
    file: Path = models_folder() / ModelVersion.objects.get(strategy__slug="item-knn").path
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]) if damage is None else damage)
    answer = _ask()
    assert (answer.fallback, answer.fallback_reason) == ("popularity", "unreadable_model")


def test_recommend__broken_model__looked_at_once_in_half_a_minute(
    trained_shop: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (models_folder() / ModelVersion.objects.get(strategy__slug="item-knn").path).write_bytes(b"")
    _ask()
    monkeypatch.setattr(snapshots, "read_model", lambda **_: pytest.fail("read again"))
    assert _ask().fallback_reason == "unreadable_model"


def test_recommend__every_file_gone__catalogue_by_popularity(trained_shop: None) -> None:
    for model in ModelVersion.objects.all():
        (models_folder() / model.path).unlink()
    answer = _ask(user_id="stranger")
    assert answer.fallback == "catalogue"
    assert answer.items[0].item_id == "all"
    assert {item.reason.code for item in answer.items} == {"editorial"}


def test_recommend__nothing_trained__catalogue(shop: None) -> None:
    answer = _ask()
    assert (answer.fallback, answer.fallback_reason) == ("catalogue", "no_model")
    assert len(answer.items) == 4


def test_recommend__strategy_switched_off__fallback(trained_shop: None) -> None:
    Strategy.objects.filter(slug="item-knn").update(is_active=False)
    answer = _ask()
    assert (answer.fallback, answer.fallback_reason) == ("popularity", "switched_off")


@pytest.mark.parametrize("wrong", ["raises", "too short", "nan"])
def test_recommend__algorithm_fails__fallback_and_reason(
    trained_shop: None, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    def score(self: ItemKNN, arrays: Arrays, profile: object) -> Scores:
        if wrong == "raises":
            raise ZeroDivisionError
        return np.full(3 if wrong == "too short" else arrays["neighbour_start"].size - 1, np.nan, dtype=np.float32)

    monkeypatch.setattr(ItemKNN, "score", score)
    answer = _ask()
    assert answer.fallback == "popularity"
    assert answer.fallback_reason == ("too_few_items" if wrong == "nan" else "algorithm_failed")
    assert len(answer.items) == 4


def test_recommend__history_fails__popularity_and_reason(trained_shop: None) -> None:
    FakeInteractions.error = DatabaseError("gone")
    answer = _ask()
    assert (answer.fallback, answer.fallback_reason) == ("popularity", "history_unavailable")
    assert len(answer.items) == 4


def test_recommend__budget_already_used_up__catalogue_and_reason(trained_shop: None) -> None:
    answer = _ask(budget_ms=0)
    assert (answer.fallback, answer.fallback_reason) == ("catalogue", "out_of_time")
    assert len(answer.items) == 4


def test_recommend__slate_cannot_be_stored__answer_stands(
    trained_shop: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(**_: object) -> None:
        raise DatabaseError

    monkeypatch.setattr(serving, "store_slate", fail)
    assert len(_ask().items) == 4
    assert "is not stored" in caplog.text


def test_recommend__database_gone_but_remembered__old_plan_and_catalogue(
    trained_shop: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ask()
    monkeypatch.setattr(snapshots, "MAX_AGE", 0.0)

    def fail(*_: object) -> None:
        raise DatabaseError

    monkeypatch.setattr(snapshots, "_read_plan", fail)
    monkeypatch.setattr(snapshots, "_read_catalogue", fail)
    assert len(_ask(log=False).items) == 4


def test_recommend__database_gone_and_nothing_remembered__empty_with_a_reason(
    trained_shop: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise DatabaseError

    monkeypatch.setattr(snapshots, "_read_plan", fail)
    answer = _ask()
    assert answer.items == ()
    assert answer.short_reason == "catalogue_unavailable"


def test_recommend__model_item_left_the_catalogue__not_shown(trained_shop: None) -> None:
    gone = _ids(_ask(k=1, log=False))[0]
    Item.objects.filter(item_id=gone).delete()
    forget_snapshots()
    assert gone not in _ids(_ask(k=100))


def test_recommend__new_model_published__served_after_the_snapshot_ages(
    trained_shop: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = _ask().model_version_id
    second = train(slug="item-knn", at=later(days=1)).pk
    assert _ask().model_version_id == first
    monkeypatch.setattr(snapshots, "MAX_AGE", 0.0)
    assert _ask().model_version_id == second != first


def test_recommend__catalogue_unchanged__not_read_again(trained_shop: None, monkeypatch: pytest.MonkeyPatch) -> None:
    _ask()
    monkeypatch.setattr(snapshots, "MAX_AGE", 0.0)
    before = snapshots.current_catalogue()
    assert snapshots.current_catalogue() is before
    Item.objects.filter(item_id="all").update(title="Changed", updated_at=later(days=1))
    after = snapshots.current_catalogue()
    assert after.items[after.row_of["all"]].title == "Changed"


def test_recommend__more_models_than_kept__oldest_dropped(trained_shop: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "MAX_MODELS", 1)
    _ask(strategy="item-knn")
    _ask(strategy="user-knn")
    assert len(snapshots._models) == 1


def test_recommend__weights_changed__profile_follows(trained_shop: None) -> None:
    EventWeight.objects.all().update(weight=0)
    assert _ask().fallback_reason == "no_history"


def test_recommend_many__several_people__same_as_one_by_one_with_one_read_of_histories(trained_shop: None) -> None:
    people = ["u0", "u1", "stranger"]
    answers = list(recommend_many(user_ids=iter(people), k=3, strategy="item-knn", context=CONTEXT, at=NOW))
    assert FakeInteractions.calls == ["recent_items_many"]
    assert [_ids(answer) for answer in answers] == [_ids(_ask(user_id=name, k=3, log=False)) for name in people]
    assert Slate.objects.count() == 3
    assert len(list(recommend_many(user_ids=people, k=3, strategy="item-knn", context={}, at=NOW, log=False))) == 3
    assert Slate.objects.count() == 3


@pytest.mark.django_db(transaction=True)
def test_recommend__history_slower_than_the_budget__slate_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from recommender.services.catalogue import upsert_items
    from recommender.services.strategies import ensure_default_strategies
    from tests.recommender.conftest import catalogue_rows

    upsert_items(items=catalogue_rows(), at=NOW)
    ensure_default_strategies(at=NOW)
    release = threading.Event()

    def slow(self: FakeInteractions, **_: object) -> list[object]:
        release.wait(5)
        return []

    monkeypatch.setattr(FakeInteractions, "recent_items", slow)
    recommend(user_id="", k=4, strategy="item-knn", context={}, at=NOW, log=False)
    started = time.perf_counter()
    answer = recommend(user_id="u0", k=4, strategy="item-knn", context={}, at=NOW, log=False, budget_ms=80)
    elapsed = time.perf_counter() - started
    release.set()
    assert len(answer.items) == 4
    assert answer.fallback_reason == "history_unavailable"
    assert elapsed < 5


@pytest.mark.django_db(transaction=True)
def test_recommend__plans_and_catalogue_slower_than_the_budget__old_ones_serve_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A database that takes seconds: what is remembered serves, one caller asks anew, nobody waits for it."""
    from recommender.services.catalogue import upsert_items
    from recommender.services.strategies import ensure_default_strategies
    from tests.recommender.conftest import catalogue_rows

    upsert_items(items=catalogue_rows(), at=NOW)
    ensure_default_strategies(at=NOW)
    recommend(user_id="", k=4, strategy="popularity", context={}, at=NOW, log=False)
    release, asked = threading.Event(), []

    def slow(*_: object) -> None:
        asked.append(1)
        release.wait(10)
        raise DatabaseError

    monkeypatch.setattr(snapshots, "_read_plan", slow)
    monkeypatch.setattr(snapshots, "_read_catalogue", slow)
    for plan in snapshots._plans.values():
        plan.checked = 0.0
    for catalogue in snapshots._catalogue:
        catalogue.checked = 0.0
    started = time.perf_counter()
    answers = [_ask("", "popularity", log=False, budget_ms=80) for _ in range(3)]
    elapsed = time.perf_counter() - started
    release.set()
    assert {len(answer.items) for answer in answers} == {4}
    assert len(asked) == 2
    assert elapsed < 0.5


@pytest.mark.parametrize("limit", [0, 2])
def test_recommend__every_order_equally_likely__chance_of_each_place_given_those_before(shop: None, limit: int) -> None:
    create_strategy(
        slug="dice",
        name="Dice",
        design=StrategyDesign(algorithm="random", filters=Filters(max_per_category=limit)),
        at=NOW,
    )
    train(slug="dice", at=NOW)
    answer = _ask(strategy="dice", k=4)
    seen = {row[1] for row in FakeInteractions.rows if row[0] == "u0"}
    left = [item for item in snapshots.current_catalogue().items if item.item_id not in seen]
    used: Counter[str] = Counter()
    for place in answer.items:
        could_stand_here = [item for item in left if not limit or used[item.category] < limit]
        assert place.propensity == pytest.approx(1 / len(could_stand_here))
        left = [item for item in left if item.item_id != place.item_id]
        used[place.category] += 1


def test_recommend__popular_in_the_segment__asks_who_is_in_it_and_shows_what_they_choose(shop: None) -> None:
    FakeInteractions.tokens = {f"u{number}": (f"segment=g{number % 3}",) for number in range(45)}
    FakeInteractions.tokens["stranger"] = ("segment=g1",)
    design = StrategyDesign(algorithm="segment-popularity", parameters={"prior": 1.0})
    create_strategy(slug="near-you", name="Near you", design=design, at=NOW)
    train(slug="near-you", at=NOW)
    assert all(item_id.startswith("g1-") for item_id in _ids(_ask("stranger", "near-you", k=6)) if item_id != "all")
    many = list(recommend_many(user_ids=["stranger", "u0"], k=6, strategy="near-you", context={}, at=NOW))
    assert _ids(many[0]) == _ids(_ask("stranger", "near-you", k=6))
    assert {item_id[:2] for item_id in _ids(many[1])[:2]} == {"g0"}  # all that is left of it: six of eight were seen


def test_recommend__no_model_goes_by_segments__nobody_asks_who_is_in_one(trained_shop: None) -> None:
    FakeInteractions.calls = []
    _ask()
    assert "describe_users" not in FakeInteractions.calls
