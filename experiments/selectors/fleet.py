"""The health of all experiments at once: which are not to be trusted, and whether the fleet as a whole is odd."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from experiments.choices import ExperimentStatus
from experiments.models import Experiment, Refresh
from experiments.reports import ExperimentReport, Message
from experiments.selectors.results import get_reports

MOST_SHOWN = 200
# Refreshes come every five minutes; an hour without one is an outage.
STALE = timedelta(hours=1)
# Level of the false discoveries over the fleet (Fabijan et al., KDD 2019, section 5).
FLEET_LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class FleetRow:
    """One experiment's health; `is_flagged`: its sample ratio stands out among all of them."""

    key: str
    name: str
    status: str
    status_label: str
    report: ExperimentReport | None
    p_value: float | None
    is_flagged: bool
    failures_n: int
    refreshed_at: datetime | None
    is_stale: bool
    problems: tuple[Message, ...]

    @property
    def is_healthy(self) -> bool:
        """Whether nothing speaks against its results."""
        return self.report is not None and self.report.health.is_healthy and not self.failures_n


@dataclass(frozen=True, slots=True)
class Fleet:
    """All experiments that run or ended lately; `unhealthy_n` are not to be trusted."""

    rows: tuple[FleetRow, ...]
    tested_n: int
    below_n: int
    left_out_n: int

    @property
    def unhealthy_n(self) -> int:
        """How many have a result that may not be believed, or none because refreshes fail."""
        return sum(not row.is_healthy for row in self.rows if row.report is not None or row.failures_n)

    @property
    def expected_below(self) -> float:
        """How many sample ratios would be below the level by chance if nothing was wrong anywhere."""
        return self.tested_n * FLEET_LEVEL


def get_fleet(*, at: datetime) -> Fleet:
    """Every experiment that was started and is not archived, the sick ones first."""
    started = Experiment.objects.published().exclude(status=ExperimentStatus.ARCHIVED)
    experiments = list(started.order_by("-started_at", "-pk")[:MOST_SHOWN])
    reports = get_reports(experiment_keys=[experiment.key for experiment in experiments])
    refreshes = {row.experiment_id: row for row in Refresh.objects.filter(experiment__in=experiments)}
    ratios = {key: report.health.srm.p_value for key, report in reports.items()}
    flagged = _flagged({key: p_value for key, p_value in ratios.items() if p_value is not None})
    rows = [
        _row(experiment, reports.get(experiment.key), refreshes.get(experiment.pk), flagged, at=at)
        for experiment in experiments
    ]
    known = [p_value for p_value in ratios.values() if p_value is not None]
    return Fleet(
        rows=tuple(sorted(rows, key=lambda row: (row.is_healthy, not row.problems))),
        tested_n=len(known),
        below_n=sum(p_value < FLEET_LEVEL for p_value in known),
        left_out_n=max(0, started.count() - len(experiments)),
    )


def _row(
    experiment: Experiment,
    report: ExperimentReport | None,
    refresh: Refresh | None,
    flagged: set[str],
    *,
    at: datetime,
) -> FleetRow:
    refreshed_at = None if report is None else datetime.fromisoformat(report.at)
    is_live = experiment.status in (ExperimentStatus.RUNNING, ExperimentStatus.PAUSED)
    return FleetRow(
        key=experiment.key,
        name=experiment.name,
        status=experiment.status,
        status_label=experiment.get_status_display(),
        report=report,
        p_value=None if report is None else report.health.srm.p_value,
        is_flagged=experiment.key in flagged,
        failures_n=0 if refresh is None else refresh.failures_n,
        refreshed_at=refreshed_at,
        is_stale=is_live and refreshed_at is not None and refreshed_at < at - STALE,
        problems=()
        if report is None
        else tuple(message for message in report.health.messages if message.level in ("bad", "warning")),
    )


def _flagged(p_values: dict[str, float]) -> set[str]:
    """The experiments whose sample ratio is rejected over the whole fleet (Benjamini & Hochberg 1995)."""
    ordered = sorted(p_values, key=p_values.__getitem__)
    last = 0
    for rank, key in enumerate(ordered, start=1):
        if p_values[key] <= FLEET_LEVEL * rank / len(ordered):
            last = rank
    return set(ordered[:last])
