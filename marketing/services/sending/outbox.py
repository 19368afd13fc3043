"""The outbox: one row per message, moved by conditional updates whose count tells who won.

pending → claimed → sending → sent | failed | uncertain, and → withheld for the control. A worker that dies leaves rows
with a lease: a claimed one becomes pending again (nothing had left), a sending one what the campaign's policy says.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, OuterRef, QuerySet, Subquery

from marketing.choices import CampaignKind, CampaignStatus, CrashPolicy, DeliveryStatus, SkipReason
from marketing.models import Campaign, Delivery
from marketing.services.changes import mark_changed

LEASE: Final = timedelta(seconds=settings.SENDING_LEASE_SECONDS)
"""Longer than any batch takes with the provider's time-out."""
MOST_ATTEMPTS: Final = 6
FIRST_WAIT: Final = timedelta(minutes=1)
REASON_LENGTH: Final = 200


def claim(*, limit: int, at: datetime) -> tuple[str, list[Delivery]]:
    """Take due messages of one running campaign; return the claim and the rows, oldest first."""
    token = secrets.token_hex(16)
    with transaction.atomic():
        due = Delivery.objects.filter(status=DeliveryStatus.PENDING, send_at__lte=at).order_by("send_at", "pk")
        first = _first_in_queue(due)
        if first is None:
            return token, []
        # The campaign may have been paused since.
        rows = due.filter(campaign_id=first, campaign__status=CampaignStatus.RUNNING)
        if connection.features.has_select_for_update_skip_locked:
            rows = rows.select_for_update(skip_locked=True, of=("self",))
        ids = list(rows.values_list("pk", flat=True)[:limit])
        # The state is asked for again: on SQLite two workers may have read the same rows.
        Delivery.objects.filter(pk__in=ids, status=DeliveryStatus.PENDING).update(
            status=DeliveryStatus.CLAIMED, status_at=at, claim=token, lease_until=at + LEASE
        )
    claimed = Delivery.objects.filter(pk__in=ids, claim=token, status=DeliveryStatus.CLAIMED)
    return token, list(claimed.select_related("profile").order_by("send_at", "pk"))


def _first_in_queue(due: QuerySet[Delivery]) -> int | None:
    """Return the running campaign whose first due message waits longest: one look into the index for each campaign."""
    first = Subquery(due.filter(campaign_id=OuterRef("pk")).values("send_at")[:1])
    running = Campaign.objects.filter(kind=CampaignKind.EMAIL, status=CampaignStatus.RUNNING)
    waiting = running.annotate(first=first).filter(first__isnull=False).order_by("first", "pk")
    return waiting.values_list("pk", flat=True).first()


def begin(*, ids: Collection[int], claim: str, at: datetime) -> list[int]:
    """Mark claimed messages as being handed over; return those that still are ours and whose campaign still runs.

    This commit fences the handing over: a message that is in no such state has certainly not left.
    """
    rows = Delivery.objects.filter(pk__in=ids, claim=claim, status=DeliveryStatus.CLAIMED, lease_until__gt=at)
    won = rows.filter(campaign__status=CampaignStatus.RUNNING).update(
        status=DeliveryStatus.SENDING,
        status_at=at,
        lease_until=at + LEASE,
        attempts=F("attempts") + 1,
    )
    return list(ids) if won == len(ids) else list(_sending(ids, claim))


def settle(*, ids: Collection[int], claim: str, status: DeliveryStatus, at: datetime, reason: str = "") -> int:
    """Move messages of this claim to an end; return how many were still ours."""
    rows = Delivery.objects.filter(pk__in=ids, claim=claim)
    with transaction.atomic():
        settled = rows.filter(status__in=(DeliveryStatus.CLAIMED, DeliveryStatus.SENDING)).update(
            status=status, status_at=at, claim="", lease_until=None, reason=reason[:REASON_LENGTH]
        )
        if settled and status == DeliveryStatus.SENT:
            _tell_segments(ids)
    return settled


def postpone(*, ids: Collection[int], claim: str, send_at: datetime, at: datetime, reason: str = "") -> int:
    """Give messages back to the queue, to be sent later; nothing of them has left."""
    return (
        Delivery.objects.filter(pk__in=ids, claim=claim)
        .filter(status__in=(DeliveryStatus.CLAIMED, DeliveryStatus.SENDING))
        .update(
            status=DeliveryStatus.PENDING,
            status_at=at,
            claim="",
            lease_until=None,
            send_at=send_at,
            reason=reason[:REASON_LENGTH],
        )
    )


def retry_at(*, attempts: int, at: datetime) -> datetime | None:
    """Return when to try again after so many attempts (1, 2, 4, … minutes); None: never."""
    return None if attempts >= MOST_ATTEMPTS else at + FIRST_WAIT * (1 << max(attempts - 1, 0))


def sweep(*, at: datetime) -> int:
    """Free the messages of workers that died; return their number."""
    expired = Delivery.objects.filter(lease_until__lte=at)
    free = {"status_at": at, "claim": "", "lease_until": None}
    freed = expired.filter(status=DeliveryStatus.CLAIMED).update(status=DeliveryStatus.PENDING, **free)
    going = expired.filter(status=DeliveryStatus.SENDING)
    held = going.filter(campaign__crash_policy=CrashPolicy.HOLD).values("pk")
    freed += Delivery.objects.filter(pk__in=held, status=DeliveryStatus.SENDING, lease_until__lte=at).update(
        status=DeliveryStatus.UNCERTAIN, **free
    )
    return freed + going.update(status=DeliveryStatus.PENDING, **free)


def end(*, campaign_id: int, at: datetime) -> int:
    """Skip what a campaign that ended has not sent; return the number. What is being handed over right now goes."""
    rows = Delivery.objects.filter(campaign_id=campaign_id, status__in=(DeliveryStatus.PENDING, DeliveryStatus.CLAIMED))
    return rows.update(
        status=DeliveryStatus.SKIPPED, status_at=at, claim="", lease_until=None, reason=SkipReason.ENDED.value
    )


def uncertain(*, campaign_id: int) -> QuerySet[Delivery]:
    """Return the messages of which nobody knows whether they went."""
    rows = Delivery.objects.filter(campaign_id=campaign_id, status=DeliveryStatus.UNCERTAIN)
    return rows.select_related("profile").order_by("pk")


def resolve(*, campaign_id: int, ids: Sequence[int], was_sent: bool, at: datetime) -> int:
    """Settle uncertain messages by hand: they went, or they are sent again. Returns how many were still uncertain."""
    rows = Delivery.objects.filter(campaign_id=campaign_id, pk__in=ids, status=DeliveryStatus.UNCERTAIN)
    if was_sent:
        with transaction.atomic():
            settled = rows.update(status=DeliveryStatus.SENT, status_at=at)
            _tell_segments(ids)
        return settled
    return rows.update(status=DeliveryStatus.PENDING, status_at=at, send_at=at)


def confirm(*, delivery_id: int, at: datetime) -> bool:
    """Settle an uncertain message that somebody was told about: it did leave."""
    rows = Delivery.objects.filter(pk=delivery_id, status=DeliveryStatus.UNCERTAIN)
    with transaction.atomic():
        is_settled = bool(rows.update(status=DeliveryStatus.SENT, status_at=at))
        _tell_segments([delivery_id])
    return is_settled


def _tell_segments(ids: Collection[int]) -> None:
    """Rules may ask who got a campaign's message."""
    rows = Delivery.objects.filter(pk__in=ids, status=DeliveryStatus.SENT)
    mark_changed(profile_ids=rows.values_list("profile_id", flat=True))


def _sending(ids: Collection[int], claim: str) -> QuerySet[Delivery, int]:
    return Delivery.objects.filter(pk__in=ids, claim=claim, status=DeliveryStatus.SENDING).values_list("pk", flat=True)
