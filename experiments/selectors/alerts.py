"""Reads about alerts and the digest: what happened, who was told, what a week brought."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Prefetch

from experiments.choices import ExperimentStatus
from experiments.models import Alert, AlertDelivery, Decision, DigestSubscription, Experiment, Recipient
from experiments.reports import ExperimentReport, Message
from experiments.selectors.experiments import days_running
from experiments.selectors.results import get_reports

ALERTS_SHOWN = 50
MOST_IN_A_DIGEST = 50
WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class AlertRow:
    """One alert with how it fared on its way."""

    kind_label: str
    experiment_key: str
    experiment_name: str
    at: datetime
    message: Message
    deliveries: tuple[AlertDelivery, ...]


@dataclass(frozen=True, slots=True)
class DigestRow:
    """One experiment in the digest."""

    key: str
    name: str
    status_label: str
    days: int | None
    report: ExperimentReport | None


@dataclass(frozen=True, slots=True)
class Digest:
    """What a week brought; `left_out_n` experiments are only counted."""

    at: datetime
    running: tuple[DigestRow, ...]
    left_out_n: int
    decisions: tuple[Decision, ...]
    alerts: tuple[AlertRow, ...]


def list_alerts(*, limit: int = ALERTS_SHOWN, since: datetime | None = None) -> list[AlertRow]:
    """The newest alerts."""
    deliveries = AlertDelivery.objects.select_related("recipient").order_by("pk")
    rows = Alert.objects.select_related("experiment").prefetch_related(Prefetch("deliveries", queryset=deliveries))
    if since is not None:
        rows = rows.filter(at__gte=since)
    return [
        AlertRow(
            kind_label=row.get_kind_display(),
            experiment_key=row.experiment.key,
            experiment_name=row.experiment.name,
            at=row.at,
            message=Message(**row.message),
            deliveries=tuple(row.deliveries.all()),
        )
        for row in rows.order_by("-at", "-pk")[:limit]
    ]


def list_recipients() -> list[Recipient]:
    """Who hears of alerts."""
    return list(Recipient.objects.select_related("experiment").order_by("kind", "address", "pk"))


def list_readers() -> list[DigestSubscription]:
    """Who reads the digest, or was invited to; those who left are not listed."""
    return list(DigestSubscription.objects.filter(ended_at=None).order_by("address"))


def get_digest(*, at: datetime) -> Digest:
    """The week up to `at`."""
    live = Experiment.objects.filter(status__in=(ExperimentStatus.RUNNING, ExperimentStatus.PAUSED))
    shown = list(live.order_by("-started_at", "-pk")[:MOST_IN_A_DIGEST])
    reports = get_reports(experiment_keys=[experiment.key for experiment in shown])
    decisions = Decision.objects.select_related("experiment", "arm").filter(at__gte=at - WEEK, reverted_at=None)
    return Digest(
        at=at,
        running=tuple(
            DigestRow(
                key=experiment.key,
                name=experiment.name,
                status_label=experiment.get_status_display(),
                days=days_running(experiment, at=at),
                report=reports.get(experiment.key),
            )
            for experiment in shown
        ),
        left_out_n=max(0, live.count() - len(shown)),
        decisions=tuple(decisions.order_by("-at", "-pk")[:MOST_IN_A_DIGEST]),
        alerts=tuple(list_alerts(since=at - WEEK)),
    )
