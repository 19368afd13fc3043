"""Launching and ending campaigns: one transition table, one function that uses it, one row in the change log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.translation import gettext as _

from experiments import errors as experiment_errors
from experiments.selectors import get_status
from experiments.services import design
from experiments.services import lifecycle as experiments
from marketing.errors import CannotTransition, UnknownCampaign
from marketing.models import Campaign
from marketing.selectors.campaigns import clear_config_cache
from marketing.services.campaigns import draft_of, log_change
from marketing.services.plans import experiment_of
from marketing.services.sending import outbox
from marketing.services.transitions import TRANSITIONS, Transition, available, what_blocks
from recommender.services.holds import hold_strategies, release_strategies

__all__ = [
    "ACTIONS",
    "TRANSITIONS",
    "approve",
    "archive",
    "available",
    "emergency_stop",
    "finish",
    "launch",
    "pause",
    "resume",
    "schedule",
    "send_back",
    "submit",
    "unschedule",
    "what_blocks",
    "withdraw",
]

LIVE_EXPERIMENT: Final = ("running", "paused")


def launch(
    *,
    campaign_id: int,
    at: datetime,
    actor: User | None = None,
    message: str = "",
    demo_truth: Mapping[str, Any] | None = None,
    seed: str = "",
) -> Campaign:
    """Freeze the plan and start the experiment; `demo_truth` and `seed` are the demo generator's."""

    def start(campaign: Campaign) -> None:
        draft = draft_of(campaign=campaign)
        key = f"campaign-{campaign.slug}"
        # The versions that serve now serve this campaign to its end, whatever is made of the strategies meanwhile.
        slugs = {arm.strategy for arm in draft.arms if arm.strategy}
        versions = {held.slug: held.number for held in hold_strategies(slugs=slugs, holder=key, at=at)}
        plan = experiment_of(draft, key=key, versions=versions, demo_truth=demo_truth, seed=seed)
        design.create_experiment(design=plan, at=at, actor=actor)
        Campaign.objects.filter(pk=campaign.pk).update(experiment_key=key)
        experiments.start(experiment_key=key, at=at, actor=actor, message=message)

    return _transition("launch", campaign_id=campaign_id, at=at, actor=actor, message=message, act=start)


def submit(*, campaign_id: int, at: datetime, actor: User | None = None, message: str = "") -> Campaign:
    """Ask a second person to look at a draft."""
    return _transition("submit", campaign_id=campaign_id, at=at, actor=actor, message=message, act=_nothing)


def withdraw(*, campaign_id: int, at: datetime, actor: User | None = None, message: str = "") -> Campaign:
    """Take a request for a review back."""
    return _transition("withdraw", campaign_id=campaign_id, at=at, actor=actor, message=message, act=_nothing)


def send_back(*, campaign_id: int, at: datetime, actor: User | None = None, message: str = "") -> Campaign:
    """Refuse a draft in review; the message says what should change."""
    return _transition("send_back", campaign_id=campaign_id, at=at, actor=actor, message=message, act=_nothing)


def approve(*, campaign_id: int, at: datetime, actor: User | None = None, message: str = "") -> Campaign:
    """Let a draft in review launch at its start; `actor` is not who wrote it or asked for the review."""
    return _transition("approve", campaign_id=campaign_id, at=at, actor=actor, message=message, act=_nothing)


def schedule(*, campaign_id: int, at: datetime, actor: User | None = None, message: str = "") -> Campaign:
    """Have the campaign launched at its start."""
    return _transition("schedule", campaign_id=campaign_id, at=at, actor=actor, message=message, act=_nothing)


def unschedule(*, campaign_id: int, at: datetime, actor: User | None = None, message: str = "") -> Campaign:
    """Make a scheduled campaign a draft again."""
    return _transition("unschedule", campaign_id=campaign_id, at=at, actor=actor, message=message, act=_nothing)


def pause(*, campaign_id: int, at: datetime, actor: User | None = None, message: str = "") -> Campaign:
    """Stop new exposures; windows run on."""

    def act(campaign: Campaign) -> None:
        if get_status(experiment_key=campaign.experiment_key) == "running":
            experiments.pause(experiment_key=campaign.experiment_key, at=at, actor=actor, message=message)

    return _transition("pause", campaign_id=campaign_id, at=at, actor=actor, message=message, act=act)


def resume(*, campaign_id: int, at: datetime, actor: User | None = None, message: str = "") -> Campaign:
    """Let people in again."""

    def act(campaign: Campaign) -> None:
        if get_status(experiment_key=campaign.experiment_key) == "paused":
            experiments.resume(experiment_key=campaign.experiment_key, at=at, actor=actor, message=message)

    return _transition("resume", campaign_id=campaign_id, at=at, actor=actor, message=message, act=act)


def finish(*, campaign_id: int, at: datetime, actor: User | None = None, message: str = "") -> Campaign:
    """End the campaign; an experiment that still runs is stopped, a decided one stays decided."""

    def act(campaign: Campaign) -> None:
        if get_status(experiment_key=campaign.experiment_key) in LIVE_EXPERIMENT:
            experiments.stop(experiment_key=campaign.experiment_key, at=at, actor=actor, message=message)
        release_strategies(holder=campaign.experiment_key, at=at)
        outbox.end(campaign_id=campaign.pk, at=at)

    return _transition("finish", campaign_id=campaign_id, at=at, actor=actor, message=message, act=act)


def emergency_stop(*, campaign_id: int, at: datetime, actor: User | None = None, message: str = "") -> Campaign:
    """Serve the default everywhere within five seconds."""

    def act(campaign: Campaign) -> None:
        if get_status(experiment_key=campaign.experiment_key) in (*LIVE_EXPERIMENT, "decided"):
            experiments.emergency_stop(experiment_key=campaign.experiment_key, at=at, actor=actor, message=message)
        release_strategies(holder=campaign.experiment_key, at=at)
        outbox.end(campaign_id=campaign.pk, at=at)

    return _transition("emergency_stop", campaign_id=campaign_id, at=at, actor=actor, message=message, act=act)


def archive(*, campaign_id: int, at: datetime, actor: User | None = None, message: str = "") -> Campaign:
    """Take the campaign off the lists."""
    return _transition("archive", campaign_id=campaign_id, at=at, actor=actor, message=message, act=_nothing)


def _nothing(campaign: Campaign) -> None:
    """Do nothing beside the change of state."""


ACTIONS: Final[dict[str, Callable[..., Campaign]]] = {
    "submit": submit,
    "withdraw": withdraw,
    "send_back": send_back,
    "approve": approve,
    "schedule": schedule,
    "unschedule": unschedule,
    "launch": launch,
    "pause": pause,
    "resume": resume,
    "finish": finish,
    "emergency_stop": emergency_stop,
    "archive": archive,
}


@transaction.atomic
def _transition(
    name: str,
    *,
    campaign_id: int,
    at: datetime,
    actor: User | None,
    message: str,
    act: Callable[[Campaign], None],
) -> Campaign:
    """Guard, act, move the state (the conditional update decides who won), write the change log."""
    rule = TRANSITIONS[name]
    campaign = Campaign.objects.filter(pk=campaign_id).first()
    if campaign is None:
        raise UnknownCampaign(f"There is no campaign with the number {campaign_id}.")
    if campaign.status not in rule.sources:
        raise CannotTransition(name, [_wrong_state(rule, campaign)])
    reasons = what_blocks(campaign=campaign, name=name, at=at, actor=actor)
    if rule.needs_message and not message.strip():
        reasons = [_("Write down why."), *reasons]
    if reasons:
        raise CannotTransition(name, reasons)
    try:
        act(campaign)
    except (experiment_errors.CannotTransition, experiment_errors.InvalidDesign) as error:
        raise CannotTransition(name, [str(reason) for reason in error.reasons]) from error
    stamp = {rule.stamp: at} if rule.stamp else {}
    won = Campaign.objects.filter(pk=campaign_id, status__in=rule.sources).update(status=rule.target, **stamp)
    if not won:
        raise CannotTransition(name, [_wrong_state(rule, campaign)])
    campaign.refresh_from_db()
    log_change(campaign=campaign, transition=name, at=at, actor=actor, message=message)
    transaction.on_commit(clear_config_cache)
    return campaign


def _wrong_state(rule: Transition, campaign: Campaign) -> str:
    return _("“%(action)s” is not possible: the campaign is %(status)s.") % {
        "action": rule.label,
        "status": campaign.get_status_display(),
    }
