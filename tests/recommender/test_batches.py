"""Slates ahead of time, slates of the past, and the people an item would suit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from pytest_django import DjangoAssertNumQueries

from recommender import tasks
from recommender.errors import InvalidItem, NotTrained
from recommender.models import Item, PreparedSlate, Slate
from recommender.services import prepared
from recommender.services.affinity import people_for_item
from recommender.services.prepared import drop_old_slates, prepare_slates, take_slates
from recommender.services.privacy import export, forget
from recommender.services.rehearsal import PastRequest, rehearse
from recommender.services.serving import recommend
from recommender.services.snapshots import forget_snapshots
from recommender.services.strategies import StrategyDesign, revise_strategy
from tests.recommender.conftest import DAY_US, NOW, NOW_US, later
from tests.recommender.fakes import FakeInteractions

CONTEXT = {"campaign": "spring", "arm": "treatment"}


def _prepare(user_ids: Iterator[str] | list[str]) -> int:
    return prepare_slates(batch="mail-1", user_ids=user_ids, k=3, strategy="item-knn", context=CONTEXT, at=NOW)


def test_prepare__then_take__the_slates_of_that_moment_stored_as_shown(trained_shop: None) -> None:
    assert _prepare(iter(["u0", "u1", "stranger"])) == 3
    assert not Slate.objects.exists()
    answers = take_slates(batch="mail-1", user_ids=["u0", "stranger", "late"], at=later(hours=1))
    assert set(answers) == {"u0", "stranger"}
    now = recommend(user_id="u0", k=3, strategy="item-knn", context={}, at=NOW, log=False, budget_ms=9_000)
    assert [item.item_id for item in answers["u0"].items] == [item.item_id for item in now.items]
    assert answers["u0"].items[0].reason == now.items[0].reason
    assert answers["stranger"].fallback == "popularity"
    assert {slate.user_id: slate.items for slate in Slate.objects.all()} == {
        name: [item.item_id for item in answer.items] for name, answer in answers.items()
    }
    assert Slate.objects.get(user_id="u0").at == NOW_US + 3_600_000_000
    assert take_slates(batch="mail-1", user_ids=["u0"], at=NOW) == {}


def test_take__items_withdrawn_meanwhile__not_shown_and_said(trained_shop: None) -> None:
    _prepare(["u0"])
    first, second = PreparedSlate.objects.get().items[:2]
    Item.objects.filter(item_id=first).update(stock=0, updated_at=later(seconds=1))
    Item.objects.filter(item_id=second).delete()
    forget_snapshots()
    answer = take_slates(batch="mail-1", user_ids=["u0"], at=NOW)["u0"]
    assert len(answer.items) == 1
    assert answer.items[0].position == 0
    assert answer.short_reason == "items_withdrawn"


def test_prepare__again_after_an_interruption__goes_on_where_it_stopped(trained_shop: None) -> None:
    assert _prepare(["u0", "u1"]) == 2
    before = PreparedSlate.objects.get(user_id="u0").recommendation_id
    assert _prepare(["u0", "u1", "u2"]) == 1
    assert PreparedSlate.objects.get(user_id="u0").recommendation_id == before


def test_prepare__many_people__chunk_by_chunk(trained_shop: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "CHUNK", 2)
    asked = 0

    def people() -> Iterator[str]:
        nonlocal asked
        for number in range(6):
            assert PreparedSlate.objects.count() >= asked - 2  # nobody is asked for long before the others are stored
            asked += 1
            yield f"u{number}"

    assert _prepare(people()) == 6


def test_prepared__nobody_took_it__dropped_after_a_week_and_with_the_person(trained_shop: None) -> None:
    _prepare(["u0", "u1"])
    assert [row["items"] for row in export(user_id="u0")["prepared_slates"]] == [
        PreparedSlate.objects.get(user_id="u0").items
    ]
    assert forget(user_id="u0").slates == 1
    assert drop_old_slates(at=later(days=7)) == 0
    assert drop_old_slates(at=later(days=8)) == 1


def test_tasks__prepare_and_drop__one_service_call(trained_shop: None) -> None:
    about: dict[str, Any] = {"batch": "b", "user_ids": ["u0"], "k": 2, "context": {}}
    assert tasks.prepare_slates(strategy="item-knn", **about) == 1
    assert tasks.prepare_slates(strategy="nonsense", **about) == 0
    assert tasks.drop_old_slates() == 0


def test_rehearse__people_of_several_days__no_slate_knows_its_own_day(trained_shop: None) -> None:
    FakeInteractions.rows.append(("fresh", "g1-1", "Product Viewed", NOW_US - 3 * DAY_US))
    requests = [PastRequest("fresh", NOW_US - 3 * DAY_US + 5), PastRequest("fresh2", NOW_US - DAY_US)]
    requests.append(PastRequest("fresh", NOW_US - DAY_US + 7))

    def play() -> list[tuple[UUID, str, int]]:
        Slate.objects.all().delete()
        answers = rehearse(
            requests=requests, k=3, strategy="item-knn", context=CONTEXT, held_by="campaign-spring", seed="s"
        )
        return [(one.recommendation_id, one.fallback_reason, one.at) for one in answers]

    first = play()
    assert [reason for _, reason, _ in first] == ["no_history", "no_history", ""]
    assert [at for _, _, at in first] == sorted(request.at for request in requests)
    assert sorted(Slate.objects.values_list("at", flat=True)) == [at for _, _, at in first]
    assert play() == first


def test_rehearse__more_people_on_a_day_than_a_batch__all_of_them(
    trained_shop: None, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    from recommender.services import rehearsal

    monkeypatch.setattr(rehearsal, "MOST", 2)
    requests = [PastRequest(f"u{number}", NOW_US) for number in range(5)]
    with django_assert_max_num_queries(40):
        answers = list(rehearse(requests=requests, k=2, strategy="popularity", context={}, held_by="", seed="s"))
    assert len(answers) == 5


def test_people_for_item__own_taste_first_and_nobody_who_has_it(trained_shop: None) -> None:
    has_it = {row[0] for row in FakeInteractions.rows if row[1] == "g1-3"}
    found = people_for_item(item_id="g1-3", strategy="item-knn", at=NOW, limit=4)
    assert len(found) == 4
    assert int(found[0].user_id[1:]) % 3 == 1
    assert not has_it & {one.user_id for one in found}
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    everybody = people_for_item(item_id="g1-3", strategy="item-knn", at=NOW, limit=1_000)
    assert everybody[:4] == found


def test_people_for_item__what_cannot_be__says_why(trained_shop: None) -> None:
    with pytest.raises(InvalidItem, match="was not there when the model"):
        people_for_item(item_id="gone", strategy="item-knn", at=NOW, limit=4)
    FakeInteractions.rows.append(("u0", "later", "Product Viewed", NOW_US - 1))  # the model does not know it
    assert people_for_item(item_id="g1-3", strategy="item-knn", at=NOW, limit=1)
    revise_strategy(slug="trending", design=StrategyDesign(algorithm="popularity"), at=NOW)
    with pytest.raises(NotTrained, match="train it first"):
        people_for_item(item_id="g1-3", strategy="trending", at=NOW, limit=4)
