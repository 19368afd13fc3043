"""How far a sending came: what the campaign's page shows."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db.models import Count

from marketing.choices import DeliveryStatus, FeedbackKind, SkipReason
from marketing.models import Campaign, ChannelState, Delivery, MailFeedback

MOST_LISTED: Final = 100
CAME_BACK: Final = (FeedbackKind.HARD, FeedbackKind.SOFT, FeedbackKind.BLOCKED)


COMPLAINTS_WARN: Final = 0.001
COMPLAINTS_ALARM: Final = 0.003
"""Gmail and Yahoo ask senders to stay below the first, and never to reach the second."""
FEW: Final = 2
"""One complaint is nobody's pattern, whatever share of a small sending it is."""


@dataclass(frozen=True, slots=True)
class Complaints:
    """How many of the people who got a message called it spam."""

    people: int
    sent: int

    @property
    def rate(self) -> float | None:
        """None while nothing was sent."""
        return self.people / self.sent if self.sent else None

    @property
    def level(self) -> str:
        """`bad` and `warning` at what mailbox providers mind, empty below."""
        if self.rate is None or self.people < FEW or self.rate < COMPLAINTS_WARN:
            return ""
        return "bad" if self.rate >= COMPLAINTS_ALARM else "warning"


@dataclass(frozen=True, slots=True)
class ArmSending:
    """One arm's messages."""

    arm_key: str
    audience: int
    waiting: int
    sent: int
    withheld: int
    failed: int
    skipped: int
    uncertain: int

    bounced: int
    """Of the sent ones: refused by the mailbox afterwards."""

    @property
    def delivered(self) -> int:
        """Sent and not come back."""
        return self.sent - self.bounced


@dataclass(frozen=True, slots=True)
class Sending:
    """The state of a campaign's messages."""

    is_frozen: bool
    arms: tuple[ArmSending, ...]
    reasons: tuple[tuple[str, int], ...]
    """Why messages were skipped, in words, with their number."""
    uncertain: tuple[Delivery, ...]
    """The first hundred."""
    channel_error: str
    resumes_at: datetime | None
    complaints: Complaints
    """Of the whole campaign."""


def sending_of(*, campaign: Campaign) -> Sending:
    """Return how far a campaign's messages came; six queries."""
    rows = campaign.deliveries.values_list("arm_key", "status").annotate(n=Count("pk")).order_by("arm_key")
    counts: dict[str, dict[str, int]] = {}
    for arm_key, status, n in rows:
        counts.setdefault(arm_key, {})[status] = n
    bounced = _bounced(campaign)
    sent = sum(by_status.get(DeliveryStatus.SENT, 0) for by_status in counts.values())
    channel = ChannelState.objects.filter(channel="email", open_until__isnull=False).first()
    return Sending(
        is_frozen=campaign.audience_n is not None,
        arms=tuple(_arm(key, by_status, bounced.get(key, 0)) for key, by_status in counts.items()),
        reasons=_reasons(campaign),
        uncertain=tuple(
            campaign.deliveries.filter(status=DeliveryStatus.UNCERTAIN)
            .select_related("profile")
            .order_by("pk")[:MOST_LISTED]
        ),
        channel_error=channel.last_error if channel is not None else "",
        resumes_at=channel.open_until if channel is not None else None,
        complaints=Complaints(_complaints([campaign.pk]).get(campaign.pk, 0), sent),
    )


def complaints_of(*, campaign_ids: Collection[int]) -> dict[int, Complaints]:
    """Return the complaints about campaigns that have any; two queries."""
    people = _complaints(campaign_ids)
    if not people:
        return {}
    rows = Delivery.objects.filter(campaign_id__in=people, status=DeliveryStatus.SENT).values_list("campaign_id")
    sent = dict(rows.annotate(n=Count("pk")).order_by())
    return {campaign_id: Complaints(n, sent.get(campaign_id, 0)) for campaign_id, n in people.items()}


def _complaints(campaign_ids: Collection[int]) -> dict[int, int]:
    rows = MailFeedback.objects.filter(campaign_id__in=campaign_ids, kind=FeedbackKind.COMPLAINT)
    return dict(rows.values_list("campaign_id").annotate(n=Count("address_hash", distinct=True)).order_by())


def _arm(key: str, counts: dict[str, int], bounced: int) -> ArmSending:
    waiting = sum(
        counts.get(status, 0) for status in (DeliveryStatus.PENDING, DeliveryStatus.CLAIMED, DeliveryStatus.SENDING)
    )
    return ArmSending(
        arm_key=key,
        audience=sum(counts.values()),
        waiting=waiting,
        sent=counts.get(DeliveryStatus.SENT, 0),
        withheld=counts.get(DeliveryStatus.WITHHELD, 0),
        failed=counts.get(DeliveryStatus.FAILED, 0),
        skipped=counts.get(DeliveryStatus.SKIPPED, 0),
        uncertain=counts.get(DeliveryStatus.UNCERTAIN, 0),
        bounced=bounced,
    )


def _bounced(campaign: Campaign) -> dict[str, int]:
    # What was refused at the handing over was never sent.
    rows = campaign.feedback.filter(kind__in=CAME_BACK).exclude(source="smtp").values_list("arm_key")
    return dict(rows.annotate(n=Count("address_hash", distinct=True)).order_by("arm_key"))


def _reasons(campaign: Campaign) -> tuple[tuple[str, int], ...]:
    rows = campaign.deliveries.filter(status=DeliveryStatus.SKIPPED).values_list("reason")
    words = dict(SkipReason.choices)
    found: dict[str, int] = {}
    for reason, n in rows.annotate(n=Count("pk")).order_by("-n", "reason")[:MOST_LISTED]:
        code, _colon, detail = reason.partition(": ")
        said = f"{words.get(code, code)} {detail}".strip()
        found[said] = found.get(said, 0) + n
    return tuple(found.items())
