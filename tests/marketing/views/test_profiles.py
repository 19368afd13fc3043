"""The profile pages: exact search, and everything about one person."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from experiments.services.exposure import ExposureRow, record_many
from marketing.choices import IdentityKind, MergeReason, Sensitivity, TraitType
from marketing.segmentation.clock import to_micros
from marketing.selectors import profiles as reads
from marketing.services.identity import merge, undo_merge
from marketing.services.profiles import declare_trait
from marketing.services.segments import refresh_segment
from tests.factories.campaigns import make_user
from tests.factories.experiments import make_experiment
from tests.factories.marketing import NOW, give_consent, make_profile, make_segment, send, track

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.fixture
def marketer(client: Client) -> Client:
    client.force_login(make_user(role="marketer"))
    return client


def page(client: Client, query: str = "") -> str:
    return client.get(reverse("marketing:profile-list") + query).content.decode()


def found(client: Client, q: str) -> str:
    return client.post(reverse("marketing:profile-list"), {"q": q}).content.decode()


def test_list__search__finds_exactly_one_identity(marketer: Client) -> None:
    assert "No people yet" in page(marketer)
    make_profile(user_id="u1", email="ann@example.org")
    make_profile(user_id="u12", email="bob@example.org")

    assert "ann@example.org" in found(marketer, "u1")
    assert "bob@example.org" not in found(marketer, "u1")
    assert "bob@example.org" in found(marketer, " Bob@Example.org ")
    assert "Nobody has exactly this identity" in found(marketer, "u")
    assert reads.find_by_identity(value=" ") == []
    assert reads.find_by_identity(value="u1", kind=IdentityKind.CRM) == []
    assert page(marketer, "?before=x").count("<tr>") == 3


def test_list__many_people__pages_cost_the_same(
    marketer: Client, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    monkeypatch.setattr(reads, "RECENT", 2)
    people = [make_profile(email=f"p{number}@example.org") for number in range(3)]
    with django_assert_max_num_queries(5):
        first = page(marketer)
    second = page(marketer, f"?before={people[1].pk}")

    assert f"?before={people[1].pk}" in first
    assert "p0@example.org" not in first
    assert "p0@example.org" in second
    assert "before=" not in second.split("</main>")[0]  # the switch of languages below names the address


def test_detail__everything_about_a_person__is_on_the_page(
    marketer: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    declare_trait(key="plan", name="Plan", type_=TraitType.TEXT)
    declare_trait(key="faith", name="Faith", type_=TraitType.BOOLEAN, sensitivity=Sensitivity.PROTECTED)
    declare_trait(key="born", name="Born", type_=TraitType.DATE)
    declare_trait(key="points", name="Points", type_=TraitType.NUMBER)
    traits = {"plan": "gold", "faith": True, "born": "1980-02-03", "points": 2.5, "country": "DE"}
    profile = make_profile(user_id="u1", **traits)  # type: ignore[arg-type]  # traits are keywords beside `at`
    visitor = make_profile(user_id="old")
    send(track("Order Completed", user="u1", at=NOW - DAY, revenue=12.5, product_id="p9"))
    experiment = make_experiment(status="running", name="Hero")
    arm = experiment.arms.order_by("position").first()
    assert arm is not None
    assert experiment.started_at is not None
    at = to_micros(experiment.started_at) + 1
    record_many(rows=[ExposureRow(experiment.key, "profile", str(visitor.pk), arm.key, 1, at)])
    row = merge(winner_id=profile.pk, loser_id=visitor.pk, reason=MergeReason.SIGN_IN, at=NOW)
    give_consent(profile)
    segment = make_segment({"all": []}, slug="everybody")
    refresh_segment(segment_id=segment.pk, at=NOW)
    with django_assert_max_num_queries(19):
        text = marketer.get(reverse("marketing:profile-detail", args=[profile.public_id])).content.decode()

    for expected in ("gold", "protected", "Feb. 3, 1980", "2.5", "Order Completed", "p9", "12.50", "Hero", arm.name):
        assert expected in text, expected
    for expected in ("everybody", "Why?", "marketing e-mail", "user id", "anonymous visitor signed in"):
        assert expected in text, expected
    merged = marketer.get(reverse("marketing:profile-detail", args=[visitor.public_id]))
    assert merged.headers["Location"] == reverse("marketing:profile-detail", args=[profile.public_id])
    undo_merge(merge_id=row.pk, at=NOW)
    assert "undone" in marketer.get(reverse("marketing:profile-detail", args=[profile.public_id])).content.decode()


def test_detail__new_person__has_empty_states(marketer: Client) -> None:
    profile = make_profile()
    text = marketer.get(reverse("marketing:profile-detail", args=[profile.public_id])).content.decode()

    for expected in ("Never seen", "Nothing yet", "In none so far", "Nothing so far", "In none.", "Never asked"):
        assert expected in text, expected


def test_detail__unknown__is_404(marketer: Client) -> None:
    for public_id in (str(uuid.uuid4()), "nobody"):
        assert marketer.get(reverse("marketing:profile-detail", args=[public_id])).status_code == 404


def test_detail__long_timeline__goes_on_where_the_page_ended(marketer: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads, "TIMELINE", 2)
    profile = make_profile(user_id="u1")
    send(*(track(f"Event {number}", user="u1", at=NOW, message_id=f"m{number}") for number in range(3)))
    url = reverse("marketing:profile-detail", args=[profile.public_id])
    first = marketer.get(url)
    before = first.context["next_before"]
    second = marketer.get(f"{url}?before={before}").content.decode()

    assert [name in first.content.decode() for name in ("Event 2", "Event 1", "Event 0")] == [True, True, False]
    assert [name in second for name in ("Event 2", "Event 1", "Event 0")] == [False, False, True]
    assert marketer.get(f"{url}?before=x-y").status_code == 200
