"""What comes back of a message: bounces and complaints, by SMTP, by a provider's webhook or by a mailbox.

All ways end here, and the same report by two ways counts once. A hard bounce and a complaint stop an address at once;
a soft bounce does after the third in thirty days.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction

from marketing.channels.bounces import Kind, MailReport
from marketing.choices import FeedbackKind, IdentityKind, SuppressionReason
from marketing.models import Delivery, Identity, MailFeedback
from marketing.services.sending import outbox
from marketing.services.sending.replies import where, withdraw
from marketing.services.sending.suppression import address_hash, suppress
from marketing.services.sending.tokens import read_message_key
from marketing.services.tracking import store_event

BOUNCED: Final = "Email Bounced"
COMPLAINED: Final = "Email Marked as Spam"
EVENTS: Final = {
    FeedbackKind.HARD: BOUNCED,
    FeedbackKind.SOFT: BOUNCED,
    FeedbackKind.BLOCKED: BOUNCED,
    FeedbackKind.COMPLAINT: COMPLAINED,
}
SOFT_WINDOW: Final = timedelta(days=30)
MOST_SOFT: Final = 3
"""So many soft bounces in the window stop an address: a full mailbox that nobody empties for a month is left."""


@dataclass(frozen=True, slots=True)
class Feedback:
    """One report about one message; `address` may be empty where the message is known."""

    kind: FeedbackKind
    delivery_id: int | None
    address: str
    status: str
    source: str
    """`smtp`, `mailbox` or the provider's name."""
    report_id: str = ""
    """The provider's id of the report; it identifies one whose message is not known."""


@transaction.atomic
def record_feedback(*, feedback: Feedback, at: datetime) -> bool:
    """Store a report and act on it; False where it was known already, or says nothing about anybody.

    Without a message the source must be trusted: its word alone suppresses the address.
    """
    delivery = None
    if feedback.delivery_id is not None:
        rows = Delivery.objects.select_related("campaign", "profile")
        delivery = rows.filter(pk=feedback.delivery_id).first()
        if delivery is None:  # the person was erased since
            return False
    address = feedback.address if delivery is None else _address(delivery, feedback.address)
    if not address:
        return False
    known, is_new = MailFeedback.objects.get_or_create(
        report=_report(feedback, address),
        defaults={
            "kind": feedback.kind,
            "address_hash": address_hash(address),
            "campaign_id": None if delivery is None else delivery.campaign_id,
            "arm_key": "" if delivery is None else delivery.arm_key,
            "status": feedback.status[:12],
            "source": feedback.source[:20],
            "at": at,
        },
    )
    if not is_new:
        return False
    _stop(known, address, at=at)
    if delivery is not None:
        _tell(known, delivery, at=at)
    return True


def record_reports(*, reports: list[MailReport], at: datetime) -> int:
    """Store what a mailbox reported, and return how many reports were new.

    Anybody may write to a mailbox: a report counts only with the keyed Message-ID of a message of ours.
    """
    stored = 0
    for report in reports:
        numbers = (read_message_key(text) for text in report.message_ids)
        delivery_id = next((number for number in numbers if number is not None), None)
        if delivery_id is None:
            continue
        outbox.confirm(delivery_id=delivery_id, at=at)
        if report.kind is not Kind.DELIVERED:
            feedback = Feedback(FeedbackKind(report.kind), delivery_id, report.address, report.status, "mailbox")
            stored += record_feedback(feedback=feedback, at=at)
    return stored


def _report(feedback: Feedback, address: str) -> str:
    """Return what makes the report the same as another; a message has each kind once."""
    if feedback.delivery_id is not None:
        return f"{feedback.delivery_id}:{feedback.kind}"
    return f"{feedback.source[:20]}:{feedback.report_id or address_hash(address)}"[:69] + f":{feedback.kind}"


def _address(delivery: Delivery, claimed: str) -> str:
    """Return which address of the person the report is about: the one it names if that is theirs, else the present one.

    A report about a message to Ada can stop Ada's addresses only, whatever else it names.
    """
    present = delivery.profile.email
    if not claimed or claimed.lower() == present.lower():
        return present
    own = Identity.objects.filter(profile_id=delivery.profile_id, kind=IdentityKind.EMAIL)
    is_theirs = own.filter(value__iexact=claimed).exists()
    return claimed if is_theirs else present


def _stop(known: MailFeedback, address: str, *, at: datetime) -> None:
    if known.kind == FeedbackKind.HARD:
        suppress(address=address, reason=SuppressionReason.BOUNCE, at=at)
    elif known.kind == FeedbackKind.COMPLAINT:
        suppress(address=address, reason=SuppressionReason.COMPLAINT, at=at)
    elif known.kind == FeedbackKind.SOFT:
        lately = MailFeedback.objects.filter(
            address_hash=known.address_hash, kind=FeedbackKind.SOFT, at__gt=at - SOFT_WINDOW
        )
        if lately.count() >= MOST_SOFT:
            suppress(address=address, reason=SuppressionReason.SOFT_BOUNCES, at=at)


def _tell(known: MailFeedback, delivery: Delivery, *, at: datetime) -> None:
    """Store the event, and take back the consent of who complained."""
    if known.kind in (FeedbackKind.COMPLAINT, FeedbackKind.LEFT):
        withdraw(delivery=delivery, at=at)
    event = EVENTS.get(FeedbackKind(known.kind))
    if event is not None:
        properties = where(delivery) | ({"kind": known.kind, "status": known.status} if event == BOUNCED else {})
        profile_id = delivery.profile.merged_into_id or delivery.profile_id
        store_event(event, profile_id=profile_id, properties=properties, at=at, message_id=f"feedback-{known.report}")
