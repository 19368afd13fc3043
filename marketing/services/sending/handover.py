"""Handing messages over, eight at a time, and what became of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db import transaction

from experiments.services.assignment import Assignment
from marketing.channels import Channel, Fate, Mail, Outcome
from marketing.channels.bounces import enhanced_status, kind_of
from marketing.choices import CrashPolicy, DeliveryStatus, FeedbackKind
from marketing.models import Campaign, Delivery
from marketing.services.sending import breaker, outbox
from marketing.services.sending.feedback import Feedback, record_feedback

CHANNEL: Final = "email"
SMTP: Final = "smtp"
THREADS: Final = 8
"""Messages in the air at once: as many are uncertain after a crash, and no more."""
Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A message that may go, with where its person stands in the experiment."""

    delivery: Delivery
    assignment: Assignment
    mail: Mail
    is_withheld: bool


@dataclass(frozen=True, slots=True)
class Counter:
    """The provider's side of a run: connections, one per thread, and where outcomes are counted."""

    channels: Sequence[Channel]
    pool: ThreadPoolExecutor
    clock: Clock
    count: Callable[[str, int], None]


def hand_over(*, campaign: Campaign, claim: str, messages: Sequence[Prepared], counter: Counter) -> None:
    """Send the messages of a claim, and settle each; what is left when the provider stops answering waits.

    The end of one eight and the beginning of the next are one commit: there are never more than eight of whom nobody
    could say whether they went, and a message costs an eighth of a commit.
    """
    landed: list[tuple[Prepared, Outcome]] = []
    for start in range(0, len(messages), THREADS):
        chunk = messages[start : start + THREADS]
        with transaction.atomic():
            if not _settle(campaign, landed, claim=claim, counter=counter, is_first=start == THREADS):
                rest = [one.delivery.pk for one in messages[start:]]
                outbox.postpone(ids=rest, claim=claim, send_at=counter.clock(), at=counter.clock())
                return
            going = set(outbox.begin(ids=[one.delivery.pk for one in chunk], claim=claim, at=counter.clock()))
        sending = [one for one in chunk if one.delivery.pk in going]
        # Threads only talk to the provider; the database is left to this one.
        pairs = zip(counter.channels, sending, strict=False)
        outcomes = counter.pool.map(lambda pair: pair[0].send(pair[1].mail), pairs)
        landed = list(zip(sending, outcomes, strict=True))
    with transaction.atomic():
        _settle(campaign, landed, claim=claim, counter=counter, is_first=len(messages) <= THREADS)


def _settle(
    campaign: Campaign,
    landed: Sequence[tuple[Prepared, Outcome]],
    *,
    claim: str,
    counter: Counter,
    is_first: bool,
) -> bool:
    """Store what became of the messages; False where the provider does not answer."""
    at = counter.clock()
    accepted = [one.delivery.pk for one, outcome in landed if outcome.fate is Fate.ACCEPTED]
    if accepted:
        counter.count("sent", outbox.settle(ids=accepted, claim=claim, status=DeliveryStatus.SENT, at=at))
        if is_first:  # once a batch: it answers
            breaker.close(channel=CHANNEL)
    is_up = True
    for one, outcome in landed:
        if outcome.fate is not Fate.ACCEPTED:
            is_up = _not_accepted(campaign, one, outcome, claim=claim, at=at, counter=counter) and is_up
    return is_up


def _not_accepted(
    campaign: Campaign, one: Prepared, outcome: Outcome, *, claim: str, at: datetime, counter: Counter
) -> bool:
    """Note a refusal, a delay or a doubt; False where the provider does not answer."""
    counter.count(outcome.fate.value, 1)
    ids, reason = [one.delivery.pk], f"{outcome.code} {outcome.text}".strip()
    # A doubt is as after a crash: the campaign's policy decides.
    if outcome.fate is Fate.UNKNOWN and campaign.crash_policy == CrashPolicy.HOLD:
        outbox.settle(ids=ids, claim=claim, status=DeliveryStatus.UNCERTAIN, at=at, reason=reason)
        return True
    if outcome.fate is Fate.DOWN:
        until = breaker.trip(channel=CHANNEL, error=reason, at=at)
        outbox.postpone(ids=ids, claim=claim, send_at=until, at=at, reason=reason)
        return False
    again = None if outcome.fate is Fate.REJECTED else outbox.retry_at(attempts=one.delivery.attempts + 1, at=at)
    if again is not None:
        outbox.postpone(ids=ids, claim=claim, send_at=again, at=at, reason=reason)
        return True
    outbox.settle(ids=ids, claim=claim, status=DeliveryStatus.FAILED, at=at, reason=reason)
    # A doubt and a server that gave up are no word about the mailbox.
    if outcome.fate in (Fate.REJECTED, Fate.TEMPORARY) and outcome.code:
        status = enhanced_status(outcome.text)
        kind = FeedbackKind(kind_of(status=status, code=int(outcome.code)))
        feedback = Feedback(kind, one.delivery.pk, one.mail.recipient, status, SMTP)
        record_feedback(feedback=feedback, at=at)
    return True
