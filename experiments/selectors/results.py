"""Reads of stored results: the last good report, and what is wrong with the refreshes since."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext

from experiments.models import Metric, Refresh, Snapshot
from experiments.reports import ExperimentReport, decode_report


@dataclass(frozen=True, slots=True)
class StoredResults:
    """The last good report with its time, and the failure since then if there was one."""

    report: ExperimentReport | None
    refreshed_at: datetime | None
    is_frozen: bool
    snapshot_id: int | None
    attempted_at: datetime | None
    failures_n: int
    error: str

    @property
    def has_failed(self) -> bool:
        """Whether the last attempt failed, so that what is shown is older than it should be."""
        return self.failures_n > 0


@dataclass(frozen=True, slots=True)
class MetricChoice:
    """A metric as a form offers it."""

    key: str
    name: str
    kind: str
    unit: str
    description: str


def get_report(*, experiment_key: str) -> ExperimentReport | None:
    """The last good report, `None` before the first refresh."""
    return get_reports(experiment_keys=[experiment_key]).get(experiment_key)


def get_reports(*, experiment_keys: Iterable[str]) -> dict[str, ExperimentReport]:
    """The last good reports of several experiments in one query."""
    rows = Snapshot.objects.filter(experiment__key__in=list(experiment_keys), is_current=True)
    found = rows.exclude(report=None).values_list("experiment__key", "report")
    return {key: decode_report(report or {}) for key, report in found}


def get_results(*, experiment_key: str) -> StoredResults:
    """What the result page needs to know about the last refreshes."""
    snapshot = Snapshot.objects.filter(experiment__key=experiment_key, is_current=True).first()
    refresh = Refresh.objects.filter(experiment__key=experiment_key).first()
    return StoredResults(
        report=decode_report(snapshot.report or {}) if snapshot else None,
        refreshed_at=snapshot.at if snapshot else None,
        is_frozen=snapshot.is_frozen if snapshot else False,
        snapshot_id=snapshot.pk if snapshot else None,
        attempted_at=refresh.attempted_at if refresh else None,
        failures_n=refresh.failures_n if refresh else 0,
        error=refresh.error if refresh else "",
    )


def list_metrics() -> list[MetricChoice]:
    """The metrics that a new experiment may use, in their current versions."""
    rows = Metric.objects.filter(is_current=True).order_by("-is_builtin", "name", "key")
    return [
        MetricChoice(
            key=row.key,
            name=gettext(row.name),
            kind=row.kind,
            unit=row.unit,
            description=gettext(row.description) if row.description else "",
        )
        for row in rows
    ]
