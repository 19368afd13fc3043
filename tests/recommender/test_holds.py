"""A version in use by somebody goes on as it is while its strategy moves on."""

from __future__ import annotations

import pytest

from recommender.errors import UnknownStrategy
from recommender.models import ModelVersion, Strategy
from recommender.selectors import held_versions, list_holds
from recommender.services import snapshots
from recommender.services.filters import Filters
from recommender.services.holds import HeldVersion, hold_strategies, release_strategies
from recommender.services.publishing import publish_model, roll_back
from recommender.services.schedule import Due, due_trainings
from recommender.services.serving import recommend
from recommender.services.snapshots import forget_snapshots, plan_for
from recommender.services.strategies import StrategyDesign, revise_strategy
from recommender.services.training import train
from tests.recommender.conftest import NOW, later

HOLDER = "campaign-spring"


def _revise(slug: str = "item-knn", algorithm: str = "content") -> None:
    design = StrategyDesign(algorithm=algorithm, filters=Filters(seen=()), fallbacks=("popularity",))
    revise_strategy(slug=slug, design=design, at=NOW)
    forget_snapshots()


def _published(slug: str = "item-knn") -> set[tuple[int, int]]:
    rows = ModelVersion.objects.filter(strategy__slug=slug, status="published")
    return set(rows.values_list("strategy_version__number", "pk"))


def test_hold__strategy_with_fallbacks__all_of_the_chain(trained_shop: None) -> None:
    held = hold_strategies(slugs=["user-knn"], holder=HOLDER, at=NOW)
    assert held == [HeldVersion("item-knn", 1), HeldVersion("popularity", 1), HeldVersion("user-knn", 1)]


def test_hold__again_after_a_revision__first_version_stays(trained_shop: None) -> None:
    hold_strategies(slugs=["item-knn"], holder=HOLDER, at=NOW)
    _revise()
    assert HeldVersion("item-knn", 1) in hold_strategies(slugs=["item-knn"], holder=HOLDER, at=later(days=1))


def test_hold__unknown_strategy__refused(trained_shop: None) -> None:
    with pytest.raises(UnknownStrategy, match="nonsense"):
        hold_strategies(slugs=["nonsense"], holder=HOLDER, at=NOW)


def test_revise__held_version__serves_its_holder_as_before_and_others_the_new(trained_shop: None) -> None:
    hold_strategies(slugs=["item-knn"], holder=HOLDER, at=NOW)

    def shown(held_by: str) -> tuple[int | None, list[str], str]:
        forget_snapshots()
        answer = recommend(user_id="u0", k=3, strategy="item-knn", context={}, at=NOW, held_by=held_by, budget_ms=9_000)
        return answer.strategy_version, [item.item_id for item in answer.items], answer.held_by

    before = shown(HOLDER)
    _revise()
    train(slug="item-knn", at=later(hours=1))
    assert shown(HOLDER) == before
    number, items, held_by = shown("")
    assert (number, held_by) == (2, "")
    assert items != before[1]
    release_strategies(holder=HOLDER, at=later(days=1))
    assert shown(HOLDER)[0] == 2
    assert held_versions(holder=HOLDER)["item-knn"].version.number == 1  # on record for the result


def test_revise__held_fallback__chain_of_the_holder_stays(trained_shop: None) -> None:
    hold_strategies(slugs=["item-knn"], holder=HOLDER, at=NOW)
    before = plan_for("item-knn", held_by=HOLDER).chain[1].model
    revise_strategy(slug="popularity", design=StrategyDesign(algorithm="popularity"), at=NOW)
    forget_snapshots()
    train(slug="popularity", at=later(hours=1))
    assert plan_for("item-knn", held_by=HOLDER).chain[1].model == before
    assert plan_for("item-knn").chain[1].model != before


def test_train__held_version__new_model_for_the_holder_only(trained_shop: None) -> None:
    hold_strategies(slugs=["item-knn"], holder=HOLDER, at=NOW)
    _revise()
    current = train(slug="item-knn", at=later(hours=1))
    again = train(slug="item-knn", version=1, at=later(hours=2))
    assert _published() == {(1, again.pk), (2, current.pk)}
    held = held_versions(holder=HOLDER)["item-knn"]
    assert (held.version.number, held.model) == (1, again)


def test_train__version_that_is_not_there__refused(shop: None) -> None:
    with pytest.raises(UnknownStrategy, match="no version 7"):
        train(slug="item-knn", version=7, at=NOW)


def test_publish__nobody_holds_the_old_version__it_retires(trained_shop: None) -> None:
    _revise()
    current = train(slug="item-knn", at=later(hours=1))
    assert _published() == {(2, current.pk)}
    earlier = ModelVersion.objects.get(strategy__slug="item-knn", strategy_version__number=1)
    publish_model(model_id=earlier.pk, at=later(hours=2))
    assert _published() == {(1, earlier.pk)}


def test_roll_back__model_of_a_held_version__is_not_what_comes_back(trained_shop: None) -> None:
    hold_strategies(slugs=["item-knn"], holder=HOLDER, at=NOW)
    _revise()
    first = train(slug="item-knn", at=later(hours=1))
    train(slug="item-knn", at=later(hours=2))
    train(slug="item-knn", version=1, at=later(hours=3))
    assert roll_back(slug="item-knn", at=later(hours=4)) == first


def test_due__revised_and_held__both_versions_by_their_own_clock(trained_shop: None) -> None:
    def due(hours: int) -> list[Due]:
        return [training for training in due_trainings(at=later(hours=hours)) if training.slug == "item-knn"]

    hold_strategies(slugs=["item-knn"], holder=HOLDER, at=NOW)
    assert due(1) == []
    _revise()
    assert due(1) == [Due("item-knn", 2)]
    train(slug="item-knn", at=later(hours=1))
    assert due(24) == [Due("item-knn", 1)]
    release_strategies(holder=HOLDER, at=later(hours=24))
    assert due(24) == []


def test_holds__listed_while_they_last(trained_shop: None) -> None:
    hold_strategies(slugs=["popularity"], holder=HOLDER, at=NOW)
    (hold,) = list(list_holds(strategy=Strategy.objects.get(slug="popularity")))
    assert str(hold).startswith(HOLDER)
    release_strategies(holder=HOLDER, at=NOW)
    assert not list_holds(strategy=Strategy.objects.get(slug="popularity"))


def test_plans__many_holders__bounded(trained_shop: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "MAX_PLANS", 2)
    for number in range(4):
        plan_for("popularity", held_by=f"holder-{number}")
    assert len(snapshots._plans) == 2
