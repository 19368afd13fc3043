"""Alerts: a refresh finds out what people should hear unasked; each event is written once, with who is to be told.

Writing and sending are apart (an outbox): what is written here is sent by `services.alert_delivery`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Q

from experiments.choices import AlertKind
from experiments.models import Alert, AlertDelivery, Experiment, Recipient
from experiments.reports import ExperimentReport, Message

DECIDED_OUTCOMES = ("ship", "stop")


@dataclass(frozen=True, slots=True)
class AlertEvent:
    """Something that happened; `subject` tells it from others of its kind in the same experiment."""

    kind: AlertKind
    subject: str
    message: Message


def raise_alerts(*, experiment: Experiment, report: ExperimentReport, at: datetime) -> int:
    """Write what a report makes known for the first time; return how many alerts are new."""
    return sum(_write(experiment, event, at) for event in find_events(report))


def raise_failure(*, experiment: Experiment, at: datetime, error: str) -> int:
    """Write that refreshes have begun to fail; the ones after the first are the same event."""
    message = Message("refresh_failed", {"error": error}, level="bad")
    return _write(experiment, AlertEvent(AlertKind.REFRESH, at.isoformat(), message), at)


def find_events(report: ExperimentReport) -> Iterator[AlertEvent]:
    """What a report holds that is worth an alert; a finished experiment from a file has nobody to wake."""
    if report.is_single_look:
        return
    if report.health.srm.is_mismatch:
        srm = next(message for message in report.health.messages if message.code == "srm_mismatch")
        yield AlertEvent(AlertKind.SRM, "", srm)
    for metric in report.metrics:
        for comparison in metric.comparisons:
            if comparison.guardrail is not None and comparison.guardrail.status == "harmed":
                yield AlertEvent(AlertKind.GUARDRAIL, f"{metric.key}/{comparison.arm}", comparison.guardrail.message)
    plan = report.plan
    if plan.planned_size and plan.mature_n >= plan.planned_size:
        parameters = {"planned": plan.planned_size, "units": plan.mature_n}
        yield AlertEvent(AlertKind.SIZE, "", Message("planned_size_reached", parameters))
    if report.verdict.outcome in DECIDED_OUTCOMES:
        subject = f"{report.verdict.outcome}/{report.verdict.arm or ''}"
        yield AlertEvent(AlertKind.DECISION, subject, report.verdict.headline)


@transaction.atomic
def _write(experiment: Experiment, event: AlertEvent, at: datetime) -> bool:
    """Whether the event is new; the unique key decides between two who find it at the same time."""
    alert, is_new = Alert.objects.get_or_create(
        experiment=experiment,
        kind=event.kind,
        subject=event.subject,
        defaults={"at": at, "message": asdict(event.message)},
    )
    if not is_new:
        return False
    mine = Recipient.objects.filter(Q(experiment=None) | Q(experiment=experiment), is_active=True).order_by("pk")
    told: set[tuple[str, str]] = set()
    for recipient in mine:
        # Somebody who hears of every experiment and of this one is told once.
        name = (recipient.kind, recipient.address)
        if name not in told and (not recipient.kinds or event.kind.value in recipient.kinds):
            told.add(name)
            AlertDelivery.objects.create(alert=alert, recipient=recipient, due_at=at)
    return True
