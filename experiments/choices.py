"""The states and kinds of the record, and which transitions lead from state to state."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import models
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class ExperimentStatus(models.TextChoices):
    DRAFT = "draft", _("Draft")
    RUNNING = "running", _("Running")
    PAUSED = "paused", _("Paused")
    STOPPED = "stopped", _("Stopped")
    DECIDED = "decided", _("Decided")
    ARCHIVED = "archived", _("Archived")


class DecisionOutcome(models.TextChoices):
    SHIP = "ship", _("Ship")
    STOP = "stop", _("Stop")
    CONTINUE = "continue", _("Continue")
    UNDECIDED = "undecided", _("Undecided")


class AssignmentReason(models.TextChoices):
    """Why a unit got what it got."""

    SPLIT = "split", _("Assigned by its bucket")
    STICKY = "sticky", _("Keeps the arm it was exposed to")
    SHIPPED = "shipped", _("The shipped arm")
    FORCED = "forced", _("Forced by a signed link, to look at it; never counted")
    BOT = "bot", _("A bot, not a person")
    HOLDBACK = "holdback", _("Held back from the shipped arm")
    NOT_STARTED = "not_started", _("The experiment has not started")
    PAUSED = "paused", _("The experiment is paused")
    STOPPED = "stopped", _("The experiment has ended")
    UNIT_TYPE = "unit_type", _("The experiment randomizes another kind of unit")
    NO_UNIT = "no_unit", _("There is no unit to assign")
    HELD_OUT = "held_out", _("In a holdout: kept out of everything")
    LAYER = "layer", _("Outside the experiment's range of its layer")
    PREREQUISITE = "prerequisite", _("Not in the arm of another experiment that this one requires")
    TARGETING = "targeting", _("The targeting rule does not match")
    COVERAGE = "coverage", _("Outside the covered traffic")


class AlertKind(models.TextChoices):
    """What an experiment tells of itself, unasked."""

    GUARDRAIL = "guardrail", _("A guardrail is harmed")
    SRM = "srm", _("The arms do not hold their shares")
    SIZE = "size", _("The planned size is reached")
    DECISION = "decision", _("A decision is ready")
    REFRESH = "refresh", _("The results could not be refreshed")


class RecipientKind(models.TextChoices):
    EMAIL = "email", _("E-mail")
    WEBHOOK = "webhook", _("Webhook")


class DeliveryStatus(models.TextChoices):
    PENDING = "pending", _("Waiting")
    SENDING = "sending", _("Being sent")
    SENT = "sent", _("Sent")
    FAILED = "failed", _("Given up")


@dataclass(frozen=True, slots=True)
class TransitionRule:
    """One row of the transition table; `guards` name functions of `services.lifecycle`."""

    name: str
    label: Promise
    sources: tuple[ExperimentStatus, ...]
    target: ExperimentStatus | None
    stamp: str
    permission: str
    guards: tuple[str, ...] = ()


_LIVE = (ExperimentStatus.RUNNING, ExperimentStatus.PAUSED)
_ENDABLE = (*_LIVE, ExperimentStatus.STOPPED)
_LAUNCH = "experiments.launch_experiment"
_DECIDE = "experiments.decide_experiment"

# A target of None means: the status the experiment had before its decision.
TRANSITIONS: dict[str, TransitionRule] = {
    rule.name: rule
    for rule in (
        TransitionRule(
            "start",
            _("Start"),
            (ExperimentStatus.DRAFT,),
            ExperimentStatus.RUNNING,
            "started_at",
            _LAUNCH,
            guards=(
                *("arms", "weights", "coverage", "targeting", "primary_metric", "planned_size"),
                *("layer", "prerequisites"),
            ),
        ),
        TransitionRule("pause", _("Pause"), (ExperimentStatus.RUNNING,), ExperimentStatus.PAUSED, "paused_at", _LAUNCH),
        TransitionRule(
            "resume", _("Resume"), (ExperimentStatus.PAUSED,), ExperimentStatus.RUNNING, "", _LAUNCH, guards=("layer",)
        ),
        TransitionRule("stop", _("Stop"), _LIVE, ExperimentStatus.STOPPED, "stopped_at", _LAUNCH),
        TransitionRule(
            "emergency_stop",
            _("Emergency stop"),
            (*_LIVE, ExperimentStatus.DECIDED),
            ExperimentStatus.STOPPED,
            "stopped_at",
            _LAUNCH,
        ),
        TransitionRule("decide", _("Decide"), _ENDABLE, ExperimentStatus.DECIDED, "decided_at", _DECIDE),
        TransitionRule(
            "revert", _("Revert the decision"), (ExperimentStatus.DECIDED,), None, "", _DECIDE, guards=("layer",)
        ),
        TransitionRule(
            "archive",
            _("Archive"),
            (ExperimentStatus.DRAFT, ExperimentStatus.STOPPED, ExperimentStatus.DECIDED),
            ExperimentStatus.ARCHIVED,
            "archived_at",
            _LAUNCH,
        ),
    )
}
