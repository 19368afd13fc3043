"""From an item to a segment, through the real port and the pages."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries, DjangoCaptureOnCommitCallbacks

from marketing import tasks
from marketing.choices import Purpose, Sensitivity, SpecialBasis, TraitType
from marketing.facts import Interactions
from marketing.models import Membership, Segment
from marketing.services.affinity import AffinityWish, create_affinity_segment
from marketing.services.membership import refresh_segment
from marketing.services.profiles import declare_trait
from marketing.services.protected import record_basis
from marketing.services.segments import create_segment
from recommender.services.catalogue import ItemRow, upsert_items
from recommender.services.snapshots import forget_snapshots
from recommender.services.strategies import ensure_default_strategies
from recommender.services.training import train
from tests.factories.campaigns import make_user
from tests.factories.marketing import NOW, give_consent, make_profile, send, track

pytestmark = pytest.mark.django_db


@pytest.fixture
def people() -> dict[str, int]:
    """Two tastes; the last of each lacks the item `a3` or `b3`; `silent` agreed to nothing."""
    forget_snapshots()
    upsert_items(items=[ItemRow(item_id=f"{t}{n}", title=f"{t}{n}") for t in "ab" for n in range(4)], at=NOW)
    ensure_default_strategies(at=NOW)
    ids = {}
    for taste in "ab":
        for number in range(4):
            name = f"{taste}-{number}"
            profile = make_profile(user_id=name)
            give_consent(profile, Purpose.PERSONALIZATION)
            ids[name] = profile.pk
            _view(name, [f"{taste}{item}" for item in range(4 if number < 3 else 3)])
    ids["silent"] = make_profile(user_id="silent").pk
    _view("silent", ["a0", "a1", "a2"])
    train(slug="item-knn", at=NOW)
    return ids


def _view(user: str, items: list[str]) -> None:
    for place, item in enumerate(items):
        at = NOW - timedelta(seconds=9 - place)
        assert not send(track("Product Viewed", user=user, at=at, product_id=item)).rejected


def _wish(item_id: str = "a3", people: int = 1) -> AffinityWish:
    return AffinityWish(item_id=item_id, strategy="item-knn", people=people, name="Would like a3")


def test_create__item__segment_of_those_who_lack_it_and_agreed(people: dict[str, int]) -> None:
    segment = create_affinity_segment(wish=_wish(people=50), at=NOW, actor=make_user(role="marketer"))
    members = set(Membership.objects.filter(segment=segment).values_list("profile_id", flat=True))
    assert people["a-3"] in members
    assert not members & {people["silent"], people["a-0"]}
    assert segment.members_n == len(members)
    assert segment.slug == "would-like-a3"


def test_task_and_command__same_service(people: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django.utils.timezone.now", lambda: NOW)
    tasks.create_affinity_segment(item_id="a3", strategy="item-knn", people=1, name="One", actor_id=None)
    tasks.create_affinity_segment(item_id="gone", strategy="item-knn", people=1, name="None", actor_id=None)
    assert list(Segment.objects.values_list("slug", "members_n")) == [("one", 1)]
    out = StringIO()
    call_command("affinity_segment", "b3", people=1, stdout=out)
    assert out.getvalue() == "affinity-to-b3: 1 people\n"
    with pytest.raises(CommandError, match="was not there"):
        call_command("affinity_segment", "gone")


def test_page__marketer__one_form_and_a_task(
    people: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    asked: list[dict[str, object]] = []
    monkeypatch.setattr(tasks.create_affinity_segment, "delay", lambda **wish: asked.append(wish))
    client = Client()
    client.force_login(make_user(role="marketer"))
    address = reverse("marketing:segment-affinity")
    assert client.get(address, {"item_id": "a3"}).status_code == 200
    wrong = client.post(address, {"item_id": "gone", "strategy": "item-knn", "people": "5"})
    assert wrong.status_code == 422
    assert "There is no item “gone”." in wrong.content.decode()
    with django_capture_on_commit_callbacks(execute=True):
        answer = client.post(address, {"item_id": "a3", "strategy": "item-knn", "people": "5"})
    assert answer.status_code == 302
    assert [(wish["item_id"], wish["people"]) for wish in asked] == [("a3", 5)]


def test_interactions__without_consent__nothing_is_read(people: dict[str, int]) -> None:
    port, kinds = Interactions(), ["Product Viewed"]
    silent, agreed = str(people["silent"]), str(people["a-3"])
    assert port.recent_items(user_id=silent, event_types=kinds, limit=9) == []
    assert port.seen_items(user_id=silent, event_types=kinds) == []
    many = port.recent_items_many(user_ids=[silent, agreed, "x"], event_types=kinds, limit=2)
    assert {name: [event.item_id for event in events] for name, events in many.items()} == {agreed: ["a2", "a1"]}
    one = port.recent_items(user_id=agreed, event_types=kinds, limit=2)
    assert list(many[agreed]) == list(one)
    earlier = port.recent_items_many(user_ids=[agreed], event_types=kinds, limit=9, before=one[0].at)
    assert [event.item_id for event in earlier[agreed]] == ["a1", "a0"]
    sample = port.sample_users(limit=50)
    assert silent not in sample
    assert len(sample) == 8


def test_describe_users__segments_of_people_who_agreed_without_protected_traits(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    faith = declare_trait(key="faith", name="Faith", type_=TraitType.TEXT, sensitivity=Sensitivity.PROTECTED)
    record_basis(definition=faith, basis=SpecialBasis.EXPLICIT_CONSENT, reason="they said so", at=NOW)
    ann, bob = make_profile(user_id="ann", faith="x"), make_profile(user_id="bob", faith="x")
    give_consent(ann, Purpose.PERSONALIZATION)
    believers = {"trait": "faith", "op": "eq", "value": "x"}
    near = {"sample": {"salt": "s", "percent": 100}}
    for slug, rule in (("plain", near), ("believers", believers), ("friends", {"in_segment": "believers"})):
        segment = create_segment(
            slug=slug, name=slug, rule={"schema": 1, "root": rule}, at=NOW, protected_reason="for the test"
        )
        refresh_segment(segment_id=segment.pk, at=NOW)
    assert Interactions().describe_users() == {str(ann.pk): ("segment=plain",)}
    assert Interactions().describe_users(user_ids=[str(bob.pk), "x"]) == {}
    with django_assert_num_queries(1):  # a slate: which segments are neutral is remembered for half a minute
        assert Interactions().describe_users(user_ids=[str(ann.pk)]) == {str(ann.pk): ("segment=plain",)}
