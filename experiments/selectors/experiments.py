"""Reads of the record: lists, states, what a unit saw, what was changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db.models import Count

from experiments.choices import DecisionOutcome, ExperimentStatus
from experiments.models import ChangeLog, Decision, Experiment, Exposure
from experiments.reports import ExperimentReport
from experiments.selectors.results import get_reports

SHOWN_PER_PAGE = 50
_DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class ExperimentRow:
    """One line of the list of experiments."""

    key: str
    name: str
    status: str
    status_label: str
    owner: str
    days_running: int | None
    planned_days: int | None
    report: ExperimentReport | None
    verdict_label: str
    decision: str
    decision_label: str
    is_demo: bool


@dataclass(frozen=True, slots=True)
class Change:
    """One line of an experiment's log."""

    transition: str
    at: datetime
    actor: str
    message: str


@dataclass(frozen=True, slots=True)
class UnitExposure:
    """One thing a unit saw; `first_at` in microseconds since the epoch."""

    experiment_key: str
    experiment_name: str
    arm_key: str
    arm_name: str
    phase: int
    first_at: int

    @property
    def seen_at(self) -> datetime:
        """The same time for people."""
        return datetime.fromtimestamp(0, tz=UTC) + timedelta(microseconds=self.first_at)


def get_status(*, experiment_key: str) -> str | None:
    """The status of an experiment; None if there is none with this key."""
    return Experiment.objects.filter(key=experiment_key).values_list("status", flat=True).first()


def list_experiments(
    *, at: datetime, status: str = "", limit: int = SHOWN_PER_PAGE, offset: int = 0
) -> list[ExperimentRow]:
    """Experiments, newest first; archived ones only if asked for."""
    rows = Experiment.objects.select_related("owner").order_by("-created_at", "-pk")
    rows = rows.filter(status=status) if status else rows.exclude(status=ExperimentStatus.ARCHIVED)
    experiments = list(rows[offset : offset + limit])
    reports = get_reports(experiment_keys=[experiment.key for experiment in experiments])
    standing = Decision.objects.standing().filter(experiment__in=experiments)
    decisions = dict(standing.values_list("experiment_id", "outcome"))
    return [
        ExperimentRow(
            key=experiment.key,
            name=experiment.name,
            status=experiment.status,
            status_label=experiment.get_status_display(),
            owner="" if experiment.owner is None else experiment.owner.get_username(),
            days_running=days_running(experiment, at=at),
            planned_days=experiment.planned_days,
            report=(report := reports.get(experiment.key)),
            verdict_label=_outcome_label("" if report is None else report.verdict.outcome),
            decision=(outcome := decisions.get(experiment.pk, "")),
            decision_label=_outcome_label(outcome),
            is_demo=experiment.is_demo,
        )
        for experiment in experiments
    ]


def _outcome_label(outcome: str) -> str:
    return str(DecisionOutcome(outcome).label) if outcome else ""


def count_experiments(*, status: str = "") -> int:
    """How many experiments `list_experiments` would list without a limit."""
    rows = (
        Experiment.objects.filter(status=status)
        if status
        else Experiment.objects.exclude(status=ExperimentStatus.ARCHIVED)
    )
    return rows.count()


def days_running(experiment: Experiment, *, at: datetime) -> int | None:
    """Whole days from the start to the end of enrolment or to `at`; None before the start."""
    if experiment.started_at is None:
        return None
    until = min(at, experiment.enrolment_ended_at or at)
    return max(0, int((until - experiment.started_at).total_seconds() // _DAY_SECONDS))


def exposed_counts(*, experiment_key: str) -> dict[str, int]:
    """How many units each arm has been shown to so far, zero included."""
    counts = dict.fromkeys(
        Experiment.objects.filter(key=experiment_key, arms__isnull=False)
        .order_by("arms__position")
        .values_list("arms__key", flat=True),
        0,
    )
    rows = Exposure.objects.filter(experiment__key=experiment_key).values("arm__key")
    counts.update(rows.annotate(n=Count("unit_id", distinct=True)).values_list("arm__key", "n"))
    return counts


def list_unit_exposures(*, unit_type: str, unit_id: str) -> list[UnitExposure]:
    """Everything a unit was shown, earliest first."""
    rows = Exposure.objects.of_unit(unit_type=unit_type, unit_id=unit_id).order_by("first_at", "pk")
    return [
        UnitExposure(
            experiment_key=row.experiment.key,
            experiment_name=row.experiment.name,
            arm_key=row.arm.key,
            arm_name=row.arm.name,
            phase=row.phase.number,
            first_at=row.first_at,
        )
        for row in rows.select_related("experiment", "arm", "phase")
    ]


def list_changes(*, experiment_key: str, limit: int = SHOWN_PER_PAGE) -> list[Change]:
    """The log of an experiment, newest first."""
    rows = ChangeLog.objects.filter(
        object_type="experiment", object_id__in=Experiment.objects.filter(key=experiment_key).values("pk")
    )
    return [
        Change(
            transition=row.transition,
            at=row.at,
            actor="" if row.actor is None else row.actor.get_username(),
            message=row.message,
        )
        for row in rows.select_related("actor").order_by("-pk")[:limit]
    ]
