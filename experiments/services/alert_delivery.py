"""Sending alerts: an outbox emptied by a scheduled task, at least once, with a name by which a repetition is known."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db.models import F
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation

from experiments.channels import mail
from experiments.choices import DeliveryStatus, RecipientKind
from experiments.models import AlertDelivery
from experiments.reports import Message
from experiments.services.recipients import signing_secret
from experiments.services.webhooks import call

logger = logging.getLogger(__name__)

# A sending that takes longer was killed; the next look at the outbox sends again.
LEASE: Final = timedelta(minutes=5)
# Waits between the attempts: a restart, an outage, a weekend's worth of a broken receiver.
WAITS: Final = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 360, 720, 1_440))
MOST_AT_ONCE: Final = 200
LONGEST_ERROR: Final = 200


@dataclass(frozen=True, slots=True)
class Sending:
    """What one look at the outbox did."""

    sent_n: int
    failed_n: int


def send_due(*, at: datetime) -> Sending:
    """Send every alert that is due; two senders at once share the work, since each row is claimed once."""
    AlertDelivery.objects.filter(status=DeliveryStatus.SENDING, due_at__lte=at).update(status=DeliveryStatus.PENDING)
    due = AlertDelivery.objects.filter(status=DeliveryStatus.PENDING, due_at__lte=at).order_by("due_at", "pk")
    sent_n = failed_n = 0
    for delivery_id in list(due.values_list("pk", flat=True)[:MOST_AT_ONCE]):
        claimed = AlertDelivery.objects.filter(pk=delivery_id, status=DeliveryStatus.PENDING).update(
            status=DeliveryStatus.SENDING, due_at=at + LEASE, attempts_n=F("attempts_n") + 1
        )
        if not claimed:
            continue
        rows = AlertDelivery.objects.select_related("alert__experiment", "recipient")
        if _send(rows.get(pk=delivery_id), at):
            sent_n += 1
        else:
            failed_n += 1
    return Sending(sent_n=sent_n, failed_n=failed_n)


def _send(delivery: AlertDelivery, at: datetime) -> bool:
    """Send one alert and keep what came of it; a failure waits longer each time, and is given up in the end."""
    try:
        if delivery.recipient.kind == RecipientKind.EMAIL:
            _mail(delivery)
        else:
            _call(delivery, at)
    except (OSError, ValueError) as error:
        logger.warning("alert %s did not reach recipient %s: %s", delivery.alert_id, delivery.recipient_id, error)
        is_last = delivery.attempts_n > len(WAITS)
        AlertDelivery.objects.filter(pk=delivery.pk).update(
            status=DeliveryStatus.FAILED if is_last else DeliveryStatus.PENDING,
            due_at=at if is_last else at + WAITS[delivery.attempts_n - 1],
            error=f"{type(error).__name__}: {error}"[:LONGEST_ERROR],
        )
        return False
    AlertDelivery.objects.filter(pk=delivery.pk).update(status=DeliveryStatus.SENT, sent_at=at, error="")
    return True


def _mail(delivery: AlertDelivery) -> None:
    context = _context(delivery)
    with translation.override(settings.LANGUAGE_CODE):
        subject = render_to_string("experiments/mail/alert_subject.txt", context)
        text = render_to_string("experiments/mail/alert.txt", context)
    mail.send(
        to=delivery.recipient.address,
        subject=subject,
        text=text,
        headers={"Message-ID": f"<{_message_id(delivery)}@holdout>"},
    )


def _call(delivery: AlertDelivery, at: datetime) -> None:
    alert = delivery.alert
    with translation.override(settings.LANGUAGE_CODE):
        text = render_to_string("experiments/mail/alert_sentence.txt", _context(delivery)).strip()
    body = {
        "type": f"experiment.{alert.kind}",
        "timestamp": alert.at.isoformat(),
        "data": {
            "experiment": alert.experiment.key,
            "name": alert.experiment.name,
            "subject": alert.subject,
            "code": alert.message["code"],
            "parameters": alert.message["parameters"],
            "text": text,
            "url": _url(delivery),
        },
    }
    secret = signing_secret(delivery.recipient)
    call(url=delivery.recipient.address, message_id=_message_id(delivery), body=body, secret=secret, at=at)


def _context(delivery: AlertDelivery) -> dict[str, Any]:
    alert = delivery.alert
    return {
        "alert": alert,
        "experiment": alert.experiment,
        "message": Message(**alert.message),
        "url": _url(delivery),
    }


def _message_id(delivery: AlertDelivery) -> str:
    return f"msg_{delivery.alert_id}_{delivery.recipient_id}"


def _url(delivery: AlertDelivery) -> str:
    path = reverse("experiments:experiment-detail", kwargs={"key": delivery.alert.experiment.key})
    return f"{settings.PUBLIC_URL}{path}"
