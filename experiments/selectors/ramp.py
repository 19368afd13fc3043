"""The ramp of a phase: its steps, and the coverage that they have reached."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Max

from experiments.models import Experiment, Phase, RampStep
from experiments.reports import ExperimentReport
from experiments.selectors.results import get_report


@dataclass(frozen=True, slots=True)
class Step:
    """One step as people read it; `due_at` is None while the experiment is a draft."""

    coverage: float
    due_at: datetime | None
    applied_at: datetime | None


@dataclass(frozen=True, slots=True)
class Ramp:
    """The current phase: where its coverage began, where it stands, and the steps. `held_by` says why none is taken."""

    phase: int
    started_at: datetime | None
    initial: float
    coverage: float
    steps: tuple[Step, ...]
    held_by: str

    @property
    def is_pending(self) -> bool:
        """Whether there are steps still to be taken."""
        return any(step.applied_at is None for step in self.steps)


def coverage_in_force(*, phase: Phase) -> float:
    """The coverage that the phase and its applied steps amount to."""
    highest = RampStep.objects.filter(phase=phase, applied_at__isnull=False).aggregate(highest=Max("coverage"))
    return max(phase.coverage, highest["highest"] or 0.0)


def ramp_of(*, phase: Phase) -> list[dict[str, Any]]:
    """The steps as the change log and the frozen plan keep them."""
    return [
        {
            "after_seconds": step.after.total_seconds(),
            "coverage": step.coverage,
            "applied_at": None if step.applied_at is None else step.applied_at.isoformat(),
        }
        for step in RampStep.objects.filter(phase=phase).order_by("after")
    ]


def get_ramp(*, experiment_key: str) -> Ramp | None:
    """The ramp of an experiment's current phase; None for an unknown experiment."""
    phase = Phase.objects.current().filter(experiment__key=experiment_key).first()
    if phase is None:
        return None
    rows = list(RampStep.objects.filter(phase=phase).order_by("after"))
    applied = [row.coverage for row in rows if row.applied_at is not None]
    return Ramp(
        phase=phase.number,
        started_at=phase.started_at,
        initial=phase.coverage,
        coverage=max([phase.coverage, *applied]),
        steps=tuple(
            Step(row.coverage, None if phase.started_at is None else phase.started_at + row.after, row.applied_at)
            for row in rows
        ),
        held_by=why_held(report=get_report(experiment_key=experiment_key)),
    )


def why_held(*, report: ExperimentReport | None) -> str:
    """Why more people must not be taken in now: `unhealthy`, `harmed`, or empty."""
    if report is None:
        return ""
    if not report.health.is_healthy:
        return "unhealthy"
    guardrails = (comparison.guardrail for metric in report.metrics for comparison in metric.comparisons)
    return "harmed" if any(guard is not None and guard.status == "harmed" for guard in guardrails) else ""


def due_experiments(*, at: datetime) -> list[Experiment]:
    """Running experiments with a step that is due."""
    pending = RampStep.objects.filter(applied_at=None, phase__ended_at=None, phase__started_at__isnull=False)
    due = [step.phase_id for step in pending.select_related("phase") if _due_at(step) <= at]
    return list(Experiment.objects.running().filter(phases__in=due).order_by("pk").distinct())


def _due_at(step: RampStep) -> datetime:
    assert step.phase.started_at is not None  # asked for
    return step.phase.started_at + step.after
