"""The last look before a message leaves: consent, address, suppression, caps, hours. The same for every arm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Count

from marketing.choices import DeliveryStatus, SkipReason
from marketing.models import Campaign, Delivery, FrequencyCap
from marketing.services.sending.audience import audience
from marketing.services.sending.suppression import suppressed
from marketing.services.sending.timing import Window

REACHED: Final = (
    DeliveryStatus.SENDING,
    DeliveryStatus.SENT,
    DeliveryStatus.UNCERTAIN,
    DeliveryStatus.WITHHELD,
)
"""What uses up a cap: the control's withheld message as a real one, so that later campaigns find the arms equal."""


@dataclass(frozen=True, slots=True)
class Checked:
    """Which messages may go now, which never, which later."""

    ready: list[Delivery]
    skipped: dict[SkipReason, list[int]]
    later: dict[int, datetime]


def recheck(*, campaign: Campaign, deliveries: Sequence[Delivery], at: datetime) -> Checked:
    """Look at each message once more; four queries for any number of them, and one per frequency cap."""
    profile_ids = [row.profile_id for row in deliveries]
    may = set(
        audience(segment_id=None, purposes=campaign.consent_purposes)
        .filter(pk__in=profile_ids)
        .values_list("pk", flat=True)
    )
    stopped = suppressed(addresses={row.profile.email for row in deliveries if row.profile.email})
    capped = _capped(profile_ids, at=at)
    window = Window(campaign.window_from, campaign.window_until)
    checked = Checked(ready=[], skipped={}, later={})
    for row in deliveries:
        reason = _why_not(row, may=may, stopped=stopped, capped=capped)
        opens = window.opens(at=at, zone=row.profile.timezone)
        if reason is not None:
            checked.skipped.setdefault(reason, []).append(row.pk)
        elif opens > at:
            checked.later[row.pk] = opens
        else:
            checked.ready.append(row)
    return checked


def _why_not(row: Delivery, *, may: set[int], stopped: set[str], capped: set[int]) -> SkipReason | None:
    if not row.profile.email:
        return SkipReason.NO_ADDRESS
    if row.profile_id not in may:
        return SkipReason.NO_CONSENT
    if row.profile.email in stopped:
        return SkipReason.SUPPRESSED
    return SkipReason.CAPPED if row.profile_id in capped else None


def _capped(profile_ids: Sequence[int], *, at: datetime) -> set[int]:
    found: set[int] = set()
    for cap in FrequencyCap.objects.order_by("days"):
        lately = Delivery.objects.filter(
            profile_id__in=profile_ids, status__in=REACHED, status_at__gt=at - timedelta(days=cap.days)
        )
        counts = Counter(dict(lately.values_list("profile_id").annotate(n=Count("pk")).order_by()))
        found.update(profile_id for profile_id, n in counts.items() if n >= cap.messages)
    return found
