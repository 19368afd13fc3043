"""What recipients do with a message: they unsubscribe, and they click."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.urls import reverse

from marketing.choices import Purpose
from marketing.models import Delivery, Link, Profile
from marketing.segmentation.clock import to_micros
from marketing.selectors.consent import has_consent
from marketing.services.campaigns import is_safe_target
from marketing.services.consent import Statement, record_consent
from marketing.services.sending.tokens import MailClick
from marketing.services.tracking import CLICK, SUSPECT_CLICK, store_event
from recommender.selectors import get_item

UNSUBSCRIBED: Final = "Unsubscribed"
SOURCE: Final = "mail"
TEXT_VERSION: Final = "unsubscribe-2026-11"
TEXT: Final = "No more marketing e-mail, please."
TOO_SOON: Final = timedelta(seconds=2)
"""A click so soon after the sending is a scanner's."""


@transaction.atomic
def unsubscribe(*, delivery_id: int, at: datetime) -> None:
    """Withdraw the consent to marketing e-mail, once; nobody is told whether the delivery or the person exists."""
    delivery = Delivery.objects.select_related("campaign").filter(pk=delivery_id).first()
    if delivery is not None:
        withdraw(delivery=delivery, at=at)


@transaction.atomic
def withdraw(*, delivery: Delivery, at: datetime) -> None:
    """Withdraw the consent to marketing e-mail of a message's recipient; nothing where there is none any more."""
    # The row is locked, so that two posts at once write one withdrawal.
    profile = Profile.objects.select_for_update().get(pk=delivery.profile_id)
    profile_id = profile.merged_into_id or profile.pk
    if not has_consent(profile_id=profile_id, purpose=Purpose.MARKETING_EMAIL):
        return
    record_consent(
        statement=Statement(
            profile_id=profile_id,
            purpose=Purpose.MARKETING_EMAIL,
            granted=False,
            text_version=TEXT_VERSION,
            text=TEXT,
            source=SOURCE,
            at=to_micros(at),
            evidence={"campaign": delivery.campaign.slug},
        )
    )
    store_event(
        UNSUBSCRIBED,
        profile_id=profile_id,
        properties=where(delivery),
        at=at,
        message_id=f"unsubscribe-{delivery.pk}",
    )


def target_of(*, click: MailClick) -> str | None:
    """Return where a link of a message leads: looked up, None where the target no longer exists."""
    if click.link_id:
        return Link.objects.filter(pk=click.link_id).values_list("url", flat=True).first()
    item = get_item(item_id=click.item)
    if item is None:
        return None
    return item.url if is_safe_target(item.url) else reverse("marketing:shop-item", args=[item.item_id])


def record_mail_click(*, click: MailClick, suspicion: str, at: datetime) -> bool:
    """Store a click; one by a scanner under another name. Without consent to measuring nothing is stored."""
    delivery = Delivery.objects.select_related("campaign", "profile").filter(pk=click.delivery_id).first()
    if delivery is None:
        return False
    profile_id = delivery.profile.merged_into_id or delivery.profile_id
    if not has_consent(profile_id=profile_id, purpose=Purpose.ANALYTICS):
        return False
    if not suspicion and at - delivery.status_at < TOO_SOON:
        suspicion = "too_soon"
    properties: dict[str, Any] = {
        **where(delivery),
        "recommendation_id": click.recommendation_id,
        "position": click.position,
        "product_id": click.item,
        "suspicion": suspicion,
    }
    store_event(
        SUSPECT_CLICK if suspicion else CLICK,
        profile_id=profile_id,
        properties={name: value for name, value in properties.items() if value not in {"", None}},
        at=at,
    )
    return True


def where(delivery: Delivery) -> dict[str, str]:
    """Return which message of which experiment it was, as properties of an event."""
    return {
        "campaign": delivery.campaign.slug,
        "arm": delivery.arm_key,
        "experiment": delivery.campaign.experiment_key,
        "channel": "email",
    }
