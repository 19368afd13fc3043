"""The ramp: raising the coverage of a phase step by step, by the clock."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.translation import gettext as _

from experiments.choices import ExperimentStatus
from experiments.errors import CannotTransition, Reason
from experiments.models import Phase, RampStep
from experiments.selectors.ramp import coverage_in_force, due_experiments, why_held
from experiments.selectors.results import get_report
from experiments.services.changes import record_change, touch
from experiments.services.lifecycle import get_experiment

log = logging.getLogger(__name__)

MOST_STEPS = 50
"""More are a mistake: ten steps of a tenth are a slow ramp."""


@dataclass(frozen=True, slots=True)
class RampSpec:
    """One step: how long after the phase's start, and to which coverage."""

    after: timedelta
    coverage: float


@dataclass(slots=True)
class RampResult:
    """Which experiments went up to which coverage, and which were held, why."""

    raised: dict[str, float] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)


def flaws_of_ramp(steps: Sequence[RampSpec], *, coverage: float, after: timedelta = timedelta(0)) -> Iterator[Reason]:
    """What is wrong with steps that follow a coverage reached so long after the start."""
    if len(steps) > MOST_STEPS:
        yield Reason("ramp_long", _("A ramp has at most %(count)d steps.") % {"count": MOST_STEPS})
    for step in steps:
        if not coverage < step.coverage <= 1.0:
            share = round(step.coverage * 100, 4)
            yield Reason(
                "ramp_falls",
                _("%(share)g %% does not cover more than the step before, or is above 100 %%; only a new phase lowers.")
                % {"share": share},
            )
        if step.after <= after:
            yield Reason("ramp_time", _("Each step must come after the one before it."))
        coverage, after = step.coverage, step.after


@transaction.atomic
def set_ramp(
    *, experiment_key: str, steps: Sequence[RampSpec], at: datetime, actor: User | None = None, message: str = ""
) -> None:
    """Plan the steps that are still to come of a running or paused experiment's phase; none: the ramp ends here.

    Steps that were taken stay. A step whose time has come is taken at the next look at the clock. Raises
    `CannotTransition`: a step never lowers the coverage, a new phase does.
    """
    experiment = get_experiment(experiment_key)
    live = experiment.status if experiment.status in (ExperimentStatus.RUNNING, ExperimentStatus.PAUSED) else None
    if live is None or not touch(experiment=experiment, status=live):
        reason = Reason("status", _("Only a running or paused experiment can change its traffic."))
        raise CannotTransition("set_ramp", [reason])
    phase = experiment.phases.current().get()
    taken = phase.ramp.filter(applied_at__isnull=False).order_by("-after").first()
    after = timedelta(0) if taken is None else taken.after
    reasons = list(flaws_of_ramp(steps, coverage=coverage_in_force(phase=phase), after=after))
    if reasons:
        raise CannotTransition("set_ramp", reasons)
    phase.ramp.filter(applied_at=None).delete()
    add_steps(phase, steps)
    experiment.refresh_from_db()
    record_change(experiment=experiment, transition="set_ramp", actor=actor, at=at, message=message)


def add_steps(phase: Phase, steps: Sequence[RampSpec]) -> None:
    """Store checked steps."""
    RampStep.objects.bulk_create(RampStep(phase=phase, after=step.after, coverage=step.coverage) for step in steps)


def raise_coverage(
    *, experiment_key: str, coverage: float, at: datetime, actor: User | None = None, message: str = ""
) -> None:
    """Cover more from now on, without a new phase: nobody moves. Steps below it that were planned lapse."""
    phase = get_experiment(experiment_key).phases.current().get()
    started_at = phase.started_at or at
    later = [
        RampSpec(step.after, step.coverage)
        for step in phase.ramp.filter(applied_at=None, coverage__gt=coverage).order_by("after")
        if started_at + step.after > at
    ]
    with transaction.atomic():
        steps = [RampSpec(at - started_at, coverage), *later]
        set_ramp(experiment_key=experiment_key, steps=steps, at=at, actor=actor, message=message)
        _take(experiment_key, at=at, actor=actor)


@transaction.atomic
def change_ramp(
    *,
    experiment_key: str,
    now: float | None,
    steps: Sequence[RampSpec],
    at: datetime,
    actor: User | None = None,
    message: str = "",
) -> None:
    """Plan the steps to come, and cover `now` from now on, if it is given."""
    set_ramp(experiment_key=experiment_key, steps=steps, at=at, actor=actor, message=message)
    if now is not None:
        raise_coverage(experiment_key=experiment_key, coverage=now, at=at, actor=actor, message=message)


def apply_due_steps(*, at: datetime) -> RampResult:
    """Take every step that is due, unless the last results say that the experiment is ill or does harm.

    Two clocks at once do no harm: a step is taken once.
    """
    result = RampResult()
    for experiment in due_experiments(at=at):
        reason = why_held(report=get_report(experiment_key=experiment.key))
        if reason:
            log.warning("experiment %s: its ramp is held: %s", experiment.key, reason)
            result.held[experiment.key] = reason
            continue
        coverage = _take(experiment.key, at=at)
        if coverage is not None:
            result.raised[experiment.key] = coverage
    return result


@transaction.atomic
def _take(experiment_key: str, *, at: datetime, actor: User | None = None) -> float | None:
    """Take the due steps of one experiment; the coverage then, None if there was nothing to take."""
    experiment = get_experiment(experiment_key)
    if not touch(experiment=experiment, status=experiment.status):
        return None
    phase = experiment.phases.current().get()
    assert phase.started_at is not None  # a draft has no step that is due
    due = phase.ramp.filter(applied_at=None, after__lte=at - phase.started_at)
    if not due.update(applied_at=at):
        return None
    coverage = coverage_in_force(phase=phase)
    experiment.refresh_from_db()
    message = _("The coverage is %(share)g %% now.") % {"share": round(coverage * 100, 4)}
    record_change(experiment=experiment, transition="ramp", actor=actor, at=at, message=message)
    return coverage
