"""The last look before a message leaves: consent, address, suppression, caps, hours. The same for every arm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Count

from marketing.choices import DeliveryStatus, Purpose, SkipReason
from marketing.models import Campaign, Consent, Delivery, FrequencyCap
from marketing.services.sending.audience import audience
from marketing.services.sending.suppression import suppressed
from marketing.services.sending.timing import Window
from marketing.services.sending.triggers import last_happened

REACHED: Final = (
    DeliveryStatus.SENDING,
    DeliveryStatus.SENT,
    DeliveryStatus.UNCERTAIN,
    DeliveryStatus.WITHHELD,
)
"""What uses up a cap: the control's withheld message as a real one, so that later campaigns find the arms equal."""

OWN_LIMIT: Final = timedelta(days=30)
"""The time for which people choose in their preferences how many messages they want."""


@dataclass(frozen=True, slots=True)
class Checked:
    """Which messages may go now, which never, which later."""

    ready: list[Delivery]
    skipped: dict[SkipReason, list[int]]
    later: dict[int, datetime]


def recheck(*, campaign: Campaign, deliveries: Sequence[Delivery], at: datetime) -> Checked:
    """Look at each message once more; a handful of queries for any number of them, and one per frequency cap."""
    profile_ids = [row.profile_id for row in deliveries]
    may = set(
        audience(segment_id=None, purposes=campaign.consent_purposes)
        .filter(pk__in=profile_ids)
        .values_list("pk", flat=True)
    )
    stopped = suppressed(addresses={row.profile.email for row in deliveries if row.profile.email})
    capped = _capped(profile_ids, channel=campaign.kind, at=at)
    last = last_happened(event=campaign.cancel_event, profile_ids=profile_ids)
    cancelled = {
        row.profile_id
        for row in deliveries
        if row.triggered_at is not None and last.get(row.profile_id, 0) > row.triggered_at
    }
    window = Window.of(campaign)
    checked = Checked(ready=[], skipped={}, later={})
    for row in deliveries:
        opens = window.opens(at=at, zone=row.profile.timezone)
        reason = _why_not(row, opens=opens, may=may, stopped=stopped, capped=capped, cancelled=cancelled)
        if reason is not None:
            checked.skipped.setdefault(reason, []).append(row.pk)
        elif opens > at:
            checked.later[row.pk] = opens
        else:
            checked.ready.append(row)
    return checked


def _why_not(
    row: Delivery, *, opens: datetime, may: set[int], stopped: set[str], capped: set[int], cancelled: set[int]
) -> SkipReason | None:
    if not row.profile.email:
        return SkipReason.NO_ADDRESS
    if row.profile_id not in may:
        return SkipReason.NO_CONSENT
    if row.profile.email in stopped:
        return SkipReason.SUPPRESSED
    if row.profile_id in cancelled:
        return SkipReason.CANCELLED
    if row.expires_at is not None and opens >= row.expires_at:
        return SkipReason.EXPIRED
    return SkipReason.CAPPED if row.profile_id in capped else None


def _capped(profile_ids: Sequence[int], *, channel: str, at: datetime) -> set[int]:
    """Those who had as many messages as a cap allows: one of this channel counts its own, one without any all."""
    found: set[int] = set()
    for cap in FrequencyCap.objects.filter(channel__in=("", channel)).order_by("days", "pk"):
        lately = Delivery.objects.filter(
            profile_id__in=profile_ids, status__in=REACHED, status_at__gt=at - timedelta(days=cap.days)
        )
        if cap.channel:
            lately = lately.filter(campaign__kind=cap.channel)
        counts = Counter(dict(lately.values_list("profile_id").annotate(n=Count("pk")).order_by()))
        found.update(profile_id for profile_id, n in counts.items() if n >= cap.messages)
    return found | _over_own_limit(profile_ids, at=at)


def _over_own_limit(profile_ids: Sequence[int], *, at: datetime) -> set[int]:
    """Those who said how many messages they want at most, and have had them."""
    said = Consent.objects.filter(profile__in=profile_ids, purpose=Purpose.MARKETING_EMAIL).order_by("at", "pk")
    newest = dict(said.values_list("profile_id", "evidence"))
    limits = {pk: evidence["most_mails"] for pk, evidence in newest.items() if evidence.get("most_mails")}
    if not limits:
        return set()
    lately = Delivery.objects.filter(profile__in=limits, status__in=REACHED, status_at__gt=at - OWN_LIMIT)
    counts = dict(lately.values_list("profile_id").annotate(n=Count("pk")).order_by())
    return {pk for pk, most in limits.items() if counts.get(pk, 0) >= most}
