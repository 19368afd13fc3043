from __future__ import annotations

import re
from dataclasses import replace

import pytest
from django.test import Client
from django.urls import reverse

from experiments.selectors import exposed_counts
from marketing.models import Campaign, Event
from marketing.views.visitor import VISITOR_COOKIE
from tests.factories.campaigns import BROWSER, CONTROL, PERSONAL, make_campaign

pytestmark = pytest.mark.django_db
HEADERS = {"User-Agent": BROWSER}


@pytest.fixture
def shopper() -> Client:
    """A browser whose person allowed everything."""
    client = Client(headers=HEADERS)
    client.post(reverse("marketing:consent"), {"analytics": "on", "personalization": "on"})
    return client


def exposed(campaign: Campaign) -> int:
    return sum(exposed_counts(experiment_key=campaign.experiment_key).values())


def slot_of(campaign: Campaign) -> str:
    return reverse("marketing:page-slot", args=[campaign.slug])


def links(content: bytes) -> list[str]:
    return re.findall(r'href="(/r/[^"]+)"', content.decode())


def test_page__anybody__shows_the_frame_and_records_nothing(shopper: Client) -> None:
    campaign = make_campaign()
    response = shopper.get(reverse("marketing:page", args=[campaign.slug]))
    assert response.status_code == 200
    assert 'hx-trigger="intersect once"' in response.content.decode()
    assert slot_of(campaign) in response.content.decode()
    assert exposed(campaign) == 0


def test_page__without_consent__asks_and_sets_no_name() -> None:
    campaign = make_campaign()
    response = Client(headers=HEADERS).get(reverse("marketing:page", args=[campaign.slug]))
    assert "Your choice" in response.content.decode()
    assert "checked" not in response.content.decode()
    assert VISITOR_COOKIE not in response.cookies


def test_page__privacy_signal__is_not_even_asked() -> None:
    campaign = make_campaign()
    response = Client(headers={**HEADERS, "Sec-GPC": "1"}).get(reverse("marketing:page", args=[campaign.slug]))
    assert "Your choice" not in response.content.decode()


@pytest.mark.parametrize("name", ["marketing:page", "marketing:page-slot"])
def test_page_and_slot__unknown_campaign_or_wrong_method__are_refused(name: str) -> None:
    assert Client().get(reverse(name, args=["nowhere"])).status_code == 404
    assert Client().post(reverse(name, args=["nowhere"])).status_code == 405


@pytest.mark.parametrize("name", ["marketing:page", "marketing:page-slot"])
@pytest.mark.parametrize(
    ("status", "code"), [("draft", 404), ("archived", 404), ("running", 200), ("paused", 200), ("finished", 200)]
)
def test_page_and_slot__draft_or_archived__do_not_exist_for_the_public(name: str, status: str, code: int) -> None:
    campaign = make_campaign(status=status)
    assert Client(headers=HEADERS).get(reverse(name, args=[campaign.slug])).status_code == code


def test_slot__person_with_consent__is_exposed_and_sees_items(shopper: Client) -> None:
    campaign = make_campaign()
    response = shopper.get(slot_of(campaign))
    assert response.status_code == 200
    assert exposed(campaign) == 1
    assert len(links(response.content)) >= 4
    assert response["Cache-Control"] == "max-age=0, no-cache, no-store, must-revalidate, private"


def test_slot__head__exposes_nobody(shopper: Client) -> None:
    campaign = make_campaign()
    assert shopper.head(slot_of(campaign)).status_code == 200
    assert exposed(campaign) == 0


def test_slot__creative_with_markup__is_escaped() -> None:
    campaign = make_campaign(arms=(replace(CONTROL, headline="<script>alert(1)</script>", body="<b>x</b>"), PERSONAL))
    content = Client(headers=HEADERS).get(slot_of(campaign)).content.decode()
    assert "<script>alert" not in content
    assert "&lt;b&gt;x&lt;/b&gt;" in content


def test_follow__item__stores_the_click_and_leads_to_the_item(shopper: Client) -> None:
    campaign = make_campaign(arms=(replace(CONTROL, link=""), PERSONAL))
    link = links(shopper.get(slot_of(campaign)).content)[0]
    response = shopper.get(link + "?next=https://evil.example&url=//evil.example")
    assert response.status_code == 302
    assert response["Location"].startswith("/shop/item-")
    assert response["Referrer-Policy"] == "no-referrer"
    event = Event.objects.get(type__name="Recommendation Clicked")
    assert event.props["experiment"] == campaign.experiment_key
    assert shopper.get(response["Location"]).status_code == 200


def test_compliance_14__prefetched_link__is_flagged(shopper: Client) -> None:
    campaign = make_campaign(arms=(replace(CONTROL, link=""), PERSONAL))
    link = links(shopper.get(slot_of(campaign)).content)[0]
    assert shopper.head(link).status_code == 302
    assert shopper.get(link, headers={"Sec-Purpose": "prefetch"}).status_code == 302
    names = set(Event.objects.values_list("type__name", flat=True))
    assert names == {"Recommendation Click Suspected"}


@pytest.mark.parametrize("token", ["x", "a.b.c", "javascript:alert(1)", "%0d%0aLocation:evil"])
def test_compliance_13__token_that_we_did_not_sign__leads_nowhere(token: str) -> None:
    assert Client(headers=HEADERS).get(reverse("marketing:follow", args=[token])).status_code == 404


def test_compliance_13__target_gone__is_not_found() -> None:
    campaign = make_campaign(arms=(CONTROL, PERSONAL))
    client = Client(headers=HEADERS)
    button = links(client.get(slot_of(campaign)).content)[0]
    assert client.get(button)["Location"] == "/shop/"
    campaign.arms.update(link=None)
    campaign.links.all().delete()
    assert client.get(button).status_code == 404


def test_follow__database_fails__the_person_still_arrives(shopper: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import DatabaseError

    from marketing.views import tracking

    campaign = make_campaign(arms=(replace(CONTROL, link=""), PERSONAL))
    link = links(shopper.get(slot_of(campaign)).content)[0]

    def fail(**kwargs: object) -> None:
        raise DatabaseError("gone")

    monkeypatch.setattr(tracking, "record_click", fail)
    assert shopper.get(link).status_code == 302
    assert not Event.objects.exists()
