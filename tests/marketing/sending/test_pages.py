"""The marketer's pages of a sending: the form, how far it came, and settling what is uncertain."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from marketing.choices import SuppressionReason
from marketing.models import Campaign, ChannelState, Sender
from marketing.services.sending import audience, outbox
from marketing.services.sending.suppression import address_hash, lift, suppress
from tests.factories.campaigns import make_catalogue, make_user
from tests.factories.marketing import NOW
from tests.factories.sending import make_mailing, make_recipient, make_sender

pytestmark = pytest.mark.django_db


@pytest.fixture
def marketer() -> Client:
    client = Client()
    client.force_login(make_user())
    return client


def filled(**changes: str) -> dict[str, str]:
    rows = {
        "arms-TOTAL_FORMS": "2",
        "arms-INITIAL_FORMS": "0",
        "arms-0-name": "No message",
        "arms-0-percent": "50",
        "arms-0-item_count": "4",
        "arms-1-name": "Letter",
        "arms-1-percent": "50",
        "arms-1-subject": "Hello",
        "arms-1-headline": "Picked for you",
        "arms-1-body": "<p onclick='x()'>Hi</p>",
        "arms-1-strategy": "popularity",
        "arms-1-item_count": "4",
    }
    fields = {
        "kind": "email",
        "name": "Spring letter",
        "consent_purposes": "analytics",
        "goal_metric": "conversion",
        "baseline": "5",
        "mde": "20",
        "people_per_day": "1000",
        "sender": str(make_sender().pk),
        "window_from": "9",
        "window_until": "18",
        "crash_policy": "resend",
    }
    return {**fields, **rows, **changes}


def test_form__new_e_mail__asks_for_subject_and_sender_and_stores_them(marketer: Client) -> None:
    make_catalogue()
    page = marketer.get(reverse("marketing:campaign-create"), {"kind": "email"}).content.decode()
    assert 'name="arms-1-subject"' in page
    assert 'name="sender"' in page
    assert 'name="arms-1-subject"' not in marketer.get(reverse("marketing:campaign-create")).content.decode()

    assert marketer.post(reverse("marketing:campaign-create"), filled()).status_code == 302

    campaign = Campaign.objects.get()
    assert (campaign.kind, campaign.crash_policy, campaign.window_from, campaign.window_until) == (
        "email",
        "resend",
        9,
        18,
    )
    control, letter = campaign.arms.order_by("position")
    assert (control.creative.subject, control.creative.headline) == ("", "")
    assert letter.creative.body == "<p>Hi</p>"
    again = marketer.get(reverse("marketing:campaign-edit", args=[campaign.slug])).content.decode()
    assert 'value="Hello"' in again


@pytest.mark.parametrize("change", [{"window_until": "9"}, {"kind": "page"}])
def test_form__hours_that_end_before_they_begin__and_page_without_headline__are_refused(
    marketer: Client, change: dict[str, str]
) -> None:
    make_catalogue()
    assert marketer.post(reverse("marketing:campaign-create"), filled(**change)).status_code == 422
    assert not Campaign.objects.exists()


def test_detail__uncertain_messages__can_be_settled(marketer: Client) -> None:
    for _ in range(3):
        make_recipient()
    campaign = make_mailing()
    detail = reverse("marketing:campaign-detail", args=[campaign.slug])
    assert "frozen by the next tick" in marketer.get(detail).content.decode()
    audience.freeze(campaign_id=campaign.pk, at=NOW)
    claim, rows = outbox.claim(limit=3, at=NOW)
    going = outbox.begin(ids=[row.pk for row in rows[:2]], claim=claim, at=NOW)
    outbox.sweep(at=NOW + outbox.LEASE)
    ChannelState.objects.create(channel="email", failures=1, open_until=NOW, last_error="refused")

    page = marketer.get(detail).content.decode()

    assert "The mail server does not answer (refused)" in page
    assert page.count('name="delivery"') == 2
    resolve = reverse("marketing:campaign-resolve", args=[campaign.slug])
    marketer.post(resolve, {"delivery": [str(going[0])], "answer": "sent"})
    marketer.post(resolve, {"delivery": [str(going[1]), "x"], "answer": "resend"})
    assert dict(campaign.deliveries.filter(pk__in=going).values_list("pk", "status")) == {
        going[0]: "sent",
        going[1]: "pending",
    }
    outbox.end(campaign_id=campaign.pk, at=NOW)
    assert "The campaign ended before." in marketer.get(detail).content.decode()


def test_senders__added_and_changed__on_their_page(marketer: Client) -> None:
    assert "No sender yet" in marketer.get(reverse("marketing:sender-list")).content.decode()
    fields = {"name": "Shop", "email": "news@shop.example", "reply_to": "", "postal_address": "1 High Street"}
    assert marketer.get(reverse("marketing:sender-add")).status_code == 200
    assert marketer.post(reverse("marketing:sender-add"), fields).status_code == 302
    sender = Sender.objects.get()
    changed = {**fields, "name": "The Shop"}
    assert marketer.post(reverse("marketing:sender-edit", args=[sender.pk]), changed).status_code == 302
    assert "The Shop" in marketer.get(reverse("marketing:sender-list")).content.decode()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"email": "me@gmail.com"}, "gmail.com asks mailboxes to refuse this"),
        ({"postal_address": ""}, "This field is required"),
        ({"name": "Shop\x0bBcc: eve@example.org"}, "no line breaks"),
    ],
)
def test_senders__what_no_mailbox_takes__is_refused(marketer: Client, change: dict[str, str], said: str) -> None:
    fields = {"name": "Shop", "email": "news@shop.example", "postal_address": "1 High Street", **change}
    page = marketer.post(reverse("marketing:sender-add"), fields)
    assert page.status_code == 422
    assert said in page.content.decode()
    assert not Sender.objects.exists()


def test_admin__suppression__is_found_by_the_exact_address(admin_client: Client) -> None:
    suppress(address="ada@example.org", reason=SuppressionReason.BOUNCE, at=NOW)
    url = reverse("admin:marketing_suppression_changelist")
    assert address_hash("ada@example.org") in admin_client.get(url, {"q": "ADA@example.org"}).content.decode()
    assert address_hash("ada@example.org") not in admin_client.get(url, {"q": "ada"}).content.decode()
    assert lift(address="ada@example.org")
    assert not lift(address="ada@example.org")
