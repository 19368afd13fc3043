"""Launching and ending campaigns: one transition table, one function that uses it, one row in the change log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from experiments import errors as experiment_errors
from experiments.selectors import get_status
from experiments.services import design
from experiments.services import lifecycle as experiments
from marketing.choices import CampaignStatus
from marketing.errors import CannotTransition, UnknownCampaign
from marketing.models import Campaign
from marketing.selectors.campaigns import clear_config_cache
from marketing.services.campaigns import CampaignDraft, draft_of, log_change
from marketing.services.checks import launch_checks, reasons_against, sample_size
from marketing.services.sending import outbox
from recommender.services.holds import hold_strategies, release_strategies

UNIT_TYPE: Final = "profile"
LIVE_EXPERIMENT: Final = ("running", "paused")

Guard = Callable[[Campaign, datetime], list[str]]


@dataclass(frozen=True, slots=True)
class Transition:
    """One row of the transition table."""

    name: str
    label: str | Promise
    sources: tuple[CampaignStatus, ...]
    target: CampaignStatus
    explanation: str | Promise
    stamp: str = ""
    guards: tuple[Guard, ...] = ()
    is_dangerous: bool = False


def _checklist(campaign: Campaign, at: datetime) -> list[str]:
    return reasons_against(launch_checks(draft=draft_of(campaign=campaign)))


def _future_start(campaign: Campaign, at: datetime) -> list[str]:
    if campaign.starts_at is None or campaign.starts_at <= at:
        return [_("It has no start in the future. Give it one, or launch it now.")]
    return []


def _open_end(campaign: Campaign, at: datetime) -> list[str]:
    if campaign.ends_at is not None and campaign.ends_at <= at:
        return [_("Its end has passed. Change the end first.")]
    return []


_LIVE = (CampaignStatus.RUNNING, CampaignStatus.PAUSED)
TRANSITIONS: Final[dict[str, Transition]] = {
    rule.name: rule
    for rule in (
        Transition(
            "schedule",
            pgettext_lazy("campaign action", "Schedule"),
            (CampaignStatus.DRAFT,),
            CampaignStatus.SCHEDULED,
            gettext_lazy("It launches by itself at its start. Until then it can be taken back."),
            guards=(_checklist, _future_start, _open_end),
        ),
        Transition(
            "unschedule",
            gettext_lazy("Take back"),
            (CampaignStatus.SCHEDULED,),
            CampaignStatus.DRAFT,
            gettext_lazy("It becomes a draft again and can be changed."),
        ),
        Transition(
            "launch",
            gettext_lazy("Launch"),
            (CampaignStatus.DRAFT, CampaignStatus.SCHEDULED),
            CampaignStatus.RUNNING,
            gettext_lazy("The experiment starts, the plan is frozen, and people see their arms from now on."),
            stamp="launched_at",
            guards=(_checklist, _open_end),
        ),
        Transition(
            "pause",
            gettext_lazy("Pause"),
            (CampaignStatus.RUNNING,),
            CampaignStatus.PAUSED,
            gettext_lazy(
                "Nobody new enters; everybody sees the default. The people already in it stay in the analysis."
            ),
        ),
        Transition(
            "resume",
            gettext_lazy("Resume"),
            (CampaignStatus.PAUSED,),
            CampaignStatus.RUNNING,
            gettext_lazy("People see their arms again: the same person, the same arm as before."),
        ),
        Transition(
            "finish",
            gettext_lazy("Finish"),
            _LIVE,
            CampaignStatus.FINISHED,
            gettext_lazy("The campaign ends and its experiment stops. The result stays; windows still open run on."),
            stamp="finished_at",
        ),
        Transition(
            "emergency_stop",
            gettext_lazy("Emergency stop"),
            _LIVE,
            CampaignStatus.FINISHED,
            gettext_lazy("Everybody gets the default within five seconds. Use it when something is wrong."),
            stamp="finished_at",
            is_dangerous=True,
        ),
        Transition(
            "archive",
            gettext_lazy("Archive"),
            (CampaignStatus.DRAFT, CampaignStatus.FINISHED),
            CampaignStatus.ARCHIVED,
            gettext_lazy("It leaves the lists. Nothing is deleted."),
        ),
    )
}


def available(*, campaign: Campaign) -> list[Transition]:
    """Return the transitions that lead on from the campaign's state; scheduling only where there is a start."""
    return [
        rule
        for rule in TRANSITIONS.values()
        if campaign.status in rule.sources and (rule.name != "schedule" or campaign.starts_at is not None)
    ]


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
        plan = _design(draft, key=key, versions=versions, demo_truth=demo_truth, seed=seed)
        design.create_experiment(design=plan, at=at, actor=actor)
        Campaign.objects.filter(pk=campaign.pk).update(experiment_key=key)
        experiments.start(experiment_key=key, at=at, actor=actor, message=message)

    return _transition("launch", campaign_id=campaign_id, at=at, actor=actor, message=message, act=start)


def schedule(*, campaign_id: int, at: datetime, actor: User | None = None, message: str = "") -> Campaign:
    """Have the campaign launched at its start."""
    return _transition("schedule", campaign_id=campaign_id, at=at, actor=actor, message=message, act=lambda _: None)


def unschedule(*, campaign_id: int, at: datetime, actor: User | None = None, message: str = "") -> Campaign:
    """Make a scheduled campaign a draft again."""
    return _transition("unschedule", campaign_id=campaign_id, at=at, actor=actor, message=message, act=lambda _: None)


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
    return _transition("archive", campaign_id=campaign_id, at=at, actor=actor, message=message, act=lambda _: None)


ACTIONS: Final[dict[str, Callable[..., Campaign]]] = {
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
    reasons = what_blocks(campaign=campaign, name=name, at=at)
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


def what_blocks(*, campaign: Campaign, name: str, at: datetime) -> list[str]:
    """Return the reasons that stand in the way of a transition now, without trying it."""
    return [reason for guard in TRANSITIONS[name].guards for reason in guard(campaign, at)]


def _wrong_state(rule: Transition, campaign: Campaign) -> str:
    return _("“%(action)s” is not possible: the campaign is %(status)s.") % {
        "action": rule.label,
        "status": campaign.get_status_display(),
    }


def _design(
    draft: CampaignDraft,
    *,
    key: str,
    versions: Mapping[str, int],
    demo_truth: Mapping[str, Any] | None,
    seed: str,
) -> design.Design:
    size = sample_size(draft=draft)
    # No margin: a guardrail stops a launch when harm is shown. Excluding a small harm to a rare event would take more
    # people than the goal itself, and every campaign would stay undecided.
    guardrails = [design.MetricSpec(key=metric, role="guardrail") for metric in draft.guardrail_metrics]
    watched = [
        design.MetricSpec(key=metric, role="secondary")
        for metric in ("conversion", "revenue", "click_rate")
        if metric != draft.goal_metric and metric not in draft.guardrail_metrics
    ]
    plan = asdict(draft)
    plan |= {"schema": 1, "starts_at": _iso(draft.starts_at), "ends_at": _iso(draft.ends_at)}
    return design.Design(
        key=key,
        name=draft.name,
        hypothesis=_("The campaign “%(name)s” raises its goal by at least %(lift)s %%.")
        % {"name": draft.name, "lift": f"{draft.mde * 100:g}"},
        unit_type=UNIT_TYPE,
        arms=tuple(
            design.ArmSpec(
                key=arm.key,
                name=arm.name,
                weight=arm.percent / 100,
                is_control=arm.is_control,
                payload={
                    "schema": 1,
                    "headline": arm.headline,
                    "strategy": arm.strategy,
                    "strategy_version": versions.get(arm.strategy),
                    "item_count": arm.item_count,
                },
            )
            for arm in draft.arms
        ),
        metrics=(design.MetricSpec(key=draft.goal_metric, role="primary"), *guardrails, *watched),
        mde=draft.mde,
        planned_size=size.total,
        planned_days=size.days,
        plan=plan,
        is_demo=draft.is_demo,
        demo_truth=None if demo_truth is None else dict(demo_truth),
        seed=seed,
    )


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
