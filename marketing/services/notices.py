"""Telling those who got somebody's data that the person was erased (Art. 19 GDPR): an outbox that a task empties.

What a notice says is needed until it arrives and no longer: it is deleted with the sending, or when it is given up.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import F

from experiments.services import webhooks
from marketing.choices import NoticeStatus
from marketing.models import DataRecipient, ErasureNotice
from marketing.services.messages import IdentityKey

log = logging.getLogger(__name__)
# Waits between the attempts: an outage, a night, a weekend of a broken receiver.
WAITS: Final = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 360, 720, 1_440))
LEASE: Final = timedelta(minutes=5)
"""A sending that takes longer was killed; the next look sends again, under the same id."""
MOST_AT_ONCE: Final = 200
TYPE: Final = "profile.erased"
PURPOSE: Final = "erasure"


@dataclass(frozen=True, slots=True)
class Sent:
    """What one look at the outbox did."""

    sent_n: int
    failed_n: int


def announce(*, identities: Iterable[IdentityKey], at: datetime) -> int:
    """Queue the news for every recipient who knows the person by one of these; return how many that are."""
    known = sorted(set(identities))
    notices = []
    for recipient in DataRecipient.objects.filter(is_active=True).order_by("pk"):
        told = [{"kind": kind, "value": value} for kind, value in known if kind in recipient.identity_kinds]
        if told:
            notices.append(ErasureNotice(recipient=recipient, identities=told, erased_at=at, due_at=at))
    ErasureNotice.objects.bulk_create(notices)
    return len(notices)


def send_due(*, at: datetime) -> Sent:
    """Send what is due; two senders at once share the work, since each row is claimed once."""
    due = ErasureNotice.objects.filter(status=NoticeStatus.PENDING, due_at__lte=at).order_by("due_at", "pk")
    sent_n = failed_n = 0
    for pk, due_at in list(due.values_list("pk", "due_at")[:MOST_AT_ONCE]):
        claimed = ErasureNotice.objects.filter(pk=pk, status=NoticeStatus.PENDING, due_at=due_at).update(
            due_at=at + LEASE, attempts_n=F("attempts_n") + 1
        )
        if not claimed:
            continue
        if _send(ErasureNotice.objects.select_related("recipient").get(pk=pk), at):
            sent_n += 1
        else:
            failed_n += 1
    return Sent(sent_n=sent_n, failed_n=failed_n)


def signing_secret(*, recipient: DataRecipient) -> str:
    """What the recipient checks signatures with."""
    return webhooks.secret_of(purpose=PURPOSE, nonce=recipient.nonce)


def _send(notice: ErasureNotice, at: datetime) -> bool:
    row = ErasureNotice.objects.filter(pk=notice.pk)
    try:
        webhooks.call(
            url=notice.recipient.url,
            message_id=f"erasure_{notice.token}",
            body={
                "type": TYPE,
                "timestamp": notice.erased_at.isoformat(),
                "data": {"identities": notice.identities},
            },
            secret=signing_secret(recipient=notice.recipient),
            at=at,
        )
    except (OSError, ValueError) as error:
        log.warning("notice %s of an erasure did not arrive: %s", notice.pk, type(error).__name__)
        said = f"{type(error).__name__}: {error}"[:200]
        if notice.attempts_n > len(WAITS):
            row.update(status=NoticeStatus.FAILED, identities=[], error=said)
        else:
            row.update(due_at=at + WAITS[notice.attempts_n - 1], error=said)
        return False
    row.update(status=NoticeStatus.SENT, identities=[], sent_at=at, error="")
    return True
