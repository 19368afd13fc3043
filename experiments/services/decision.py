"""Decisions: what a person concludes, acted on at once, revertible by one click."""

from __future__ import annotations

from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.translation import gettext as _

from experiments.choices import DecisionOutcome, ExperimentStatus
from experiments.errors import CannotTransition, Reason
from experiments.models import Arm, Decision, Experiment
from experiments.services.changes import record_change, touch
from experiments.services.lifecycle import get_experiment, transition


@transaction.atomic
def decide(
    *,
    experiment_key: str,
    outcome: str,
    reason: str,
    at: datetime,
    actor: User | None = None,
    arm_key: str = "",
    holdback: float = 0.0,
) -> Decision:
    """Record a verdict and act on it.

    `ship` serves the arm to every eligible unit except the holdback; `stop` and `undecided` serve the default; results
    freeze. `continue` is a note: the experiment goes on as it is. Raises `CannotTransition`.
    """
    experiment = get_experiment(experiment_key)
    arm = experiment.arms.filter(key=arm_key).first() if arm_key else None
    reasons = _flaws(outcome, reason, arm_key, arm, holdback)
    if reasons:
        raise CannotTransition("decide", reasons)
    decision = Decision(
        experiment=experiment,
        outcome=outcome,
        arm=arm,
        holdback=holdback,
        reason=reason,
        status_before=experiment.status,
        at=at,
        by=actor,
    )
    if outcome == DecisionOutcome.CONTINUE:
        return _note(experiment, decision)

    def store(changed: Experiment) -> None:
        decision.frozen_at = at
        decision.save(force_insert=True)

    transition(experiment_key=experiment_key, name="decide", at=at, actor=actor, message=reason, effect=store)
    return decision


@transaction.atomic
def revert(*, experiment_key: str, at: datetime, actor: User | None = None, message: str = "") -> Decision:
    """Take the standing decision back: the experiment is as it was before, and its results move on."""
    experiment = get_experiment(experiment_key)
    decision = Decision.objects.standing().filter(experiment=experiment).first()
    if decision is None:
        raise CannotTransition("revert", [Reason("no_decision", _("There is no decision to revert."))])

    def undo(changed: Experiment) -> None:
        Experiment.objects.filter(pk=changed.pk).update(decided_at=None)
        if not Decision.objects.standing().filter(pk=decision.pk).update(reverted_at=at, reverted_by=actor):
            raise CannotTransition("revert", [Reason("raced", _("Somebody else has just reverted it."))])

    transition(
        experiment_key=experiment_key,
        name="revert",
        at=at,
        actor=actor,
        message=message,
        target=decision.status_before,
        effect=undo,
    )
    decision.refresh_from_db()
    return decision


def _note(experiment: Experiment, decision: Decision) -> Decision:
    if experiment.status not in (ExperimentStatus.RUNNING, ExperimentStatus.PAUSED) or not touch(
        experiment=experiment, status=experiment.status
    ):
        reason = Reason("status", _("Only a running or paused experiment can be continued."))
        raise CannotTransition("decide", [reason])
    decision.save(force_insert=True)
    experiment.refresh_from_db()
    record_change(
        experiment=experiment, transition="continue", actor=decision.by, at=decision.at, message=decision.reason
    )
    return decision


def _flaws(outcome: str, reason: str, arm_key: str, arm: Arm | None, holdback: float) -> list[Reason]:
    reasons = []
    if outcome not in DecisionOutcome.values:
        reasons.append(Reason("outcome", _("“%(outcome)s” is not a decision.") % {"outcome": outcome}))
    if not reason.strip():
        reasons.append(Reason("reason", _("Say why.")))
    if outcome == DecisionOutcome.SHIP and arm is None:
        reasons.append(Reason("arm", _("Choose the arm to ship.")))
    if outcome != DecisionOutcome.SHIP and (arm_key or holdback):
        reasons.append(Reason("arm", _("Only shipping names an arm and a holdback.")))
    if not 0.0 <= holdback < 1.0:
        reasons.append(Reason("holdback", _("The holdback must be at least 0 and below 100 %.")))
    return reasons
