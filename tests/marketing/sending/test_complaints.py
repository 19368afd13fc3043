"""The share of recipients who call a message spam, and when it becomes an alarm."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from marketing.choices import DeliveryStatus, FeedbackKind
from marketing.models import Campaign, Delivery, MailFeedback
from marketing.selectors.sending import Complaints, complaints_of, sending_of
from marketing.services.sending import audience
from tests.factories.campaigns import make_user
from tests.factories.marketing import NOW
from tests.factories.sending import make_mailing, make_recipient
from tests.marketing.sending.test_dispatch import BOTH


@pytest.mark.parametrize(
    ("people", "sent", "level"),
    [(0, 0, ""), (1, 100, ""), (2, 2_100, ""), (2, 2_000, "warning"), (5, 2_000, "warning"), (6, 2_000, "bad")],
)
def test_compliance_09__complaints__alarm_at_one_and_three_in_a_thousand(people: int, sent: int, level: str) -> None:
    assert Complaints(people, sent).level == level


@pytest.fixture
def campaign() -> Campaign:
    """Five people got it, two of them complained, one by two ways."""
    for _ in range(5):
        make_recipient()
    campaign = make_mailing(arms=BOTH, name="Spring")
    audience.freeze(campaign_id=campaign.pk, at=NOW)
    Delivery.objects.update(status=DeliveryStatus.SENT)
    for number, who in enumerate(("a", "a", "b")):
        MailFeedback.objects.create(
            kind=FeedbackKind.COMPLAINT,
            address_hash=who,
            campaign=campaign,
            source="mailbox",
            report=f"r{number}",
            at=NOW,
        )
    return campaign


@pytest.mark.django_db
def test_compliance_09__complaint_rate__stands_on_the_page_and_waits_at_home(
    client: Client, campaign: Campaign
) -> None:
    client.force_login(make_user())
    assert sending_of(campaign=campaign).complaints == Complaints(2, 5)
    assert complaints_of(campaign_ids=[campaign.pk]) == {campaign.pk: Complaints(2, 5)}
    page = client.get(campaign.get_absolute_url()).content.decode()
    assert "2 recipients called this spam: 40.00\xa0% of the messages." in page
    assert "Pause" in page
    home = client.get(reverse("marketing:home")).content.decode()
    assert "2 recipients of “Spring” called it spam, 40.00 % of the messages." in home


@pytest.mark.django_db
def test_complaints_of__nobody_complained__names_no_campaign(campaign: Campaign) -> None:
    MailFeedback.objects.all().delete()
    assert complaints_of(campaign_ids=[campaign.pk]) == {}
