"""E-mail campaigns, and people who may be written to."""

from __future__ import annotations

import itertools
from datetime import datetime
from typing import Any

from marketing.choices import CampaignKind, IdentityKind, Purpose
from marketing.models import Campaign, EventType, Profile, Sender
from marketing.services.campaigns import ArmDraft
from marketing.services.profiles import create_profile
from tests.factories.campaigns import STARTED, make_campaign
from tests.factories.marketing import give_consent

_numbers = itertools.count(1)

SILENT = ArmDraft(key="control", name="No message", percent=50, is_control=True)
LETTER = ArmDraft(
    key="letter",
    name="Letter",
    percent=50,
    subject="Hello {{ person.country }}",
    headline="Picked for you",
    body="<p>Dear <b>{{ person.language | default: 'friend' }}</b></p><script>x()</script>",
    button_text="Look around",
    link="/shop/",
    strategy="popularity",
    item_count=3,
)


def make_sender() -> Sender:
    sender, _ = Sender.objects.get_or_create(
        email="news@shop.example", defaults={"name": "The Shop", "postal_address": "1 High Street\nTown"}
    )
    return sender


def make_recipient(*, email: str = "", at: datetime = STARTED, **traits: Any) -> Profile:
    """A person with an address who agreed to everything that a mail needs."""
    address = email or f"person-{next(_numbers)}@example.org"
    profile = create_profile(identities=[(IdentityKind.EMAIL, address)], traits={"email": address, **traits}, at=at)
    for purpose in (Purpose.ANALYTICS, Purpose.PERSONALIZATION, Purpose.MARKETING_EMAIL):
        give_consent(profile, purpose, at=at)
    profile.refresh_from_db()
    return profile


def make_mailing(**overrides: Any) -> Campaign:
    """A running e-mail campaign that may send at every hour."""
    fields: dict[str, Any] = {
        "kind": CampaignKind.EMAIL.value,
        "arms": (SILENT, LETTER),
        "sender_id": make_sender().pk,
        "window_from": 0,
        "window_until": 24,
    }
    for name in ("trigger_event", "cancel_event"):
        if overrides.get(name):
            EventType.objects.get_or_create(name=overrides[name])  # somebody did it before
    return make_campaign(**{**fields, **overrides})
