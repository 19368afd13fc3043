"""The states of a campaign as data: which transition leads where, and what stands in its way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.contrib.auth.models import User
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from marketing.choices import CampaignStatus
from marketing.models import Campaign
from marketing.selectors.reviews import is_review_required, last_writer_id, request_of
from marketing.services.campaigns import draft_of
from marketing.services.checks import launch_checks, reasons_against


@dataclass(frozen=True, slots=True)
class Attempt:
    """Who tries to move which campaign, and when."""

    campaign: Campaign
    at: datetime
    actor: User | None
    """None: the system (the timetable, the demo world), which carries out what persons decided."""


Guard = Callable[[Attempt], list[str]]


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
    needs_message: bool = False
    """Whether it is refused without a word for the log."""


def _checklist(attempt: Attempt) -> list[str]:
    return reasons_against(launch_checks(draft=draft_of(campaign=attempt.campaign)))


def _future_start(attempt: Attempt) -> list[str]:
    starts_at = attempt.campaign.starts_at
    if starts_at is None or starts_at <= attempt.at:
        return [_("It has no start in the future. Give it one, or launch it now.")]
    return []


def _open_end(attempt: Attempt) -> list[str]:
    ends_at = attempt.campaign.ends_at
    if ends_at is not None and ends_at <= attempt.at:
        return [_("Its end has passed. Change the end first.")]
    return []


def _reviewed(attempt: Attempt) -> list[str]:
    """Four eyes: nobody launches a draft alone. What is scheduled was approved, or the review was off."""
    is_alone = attempt.campaign.status == CampaignStatus.DRAFT and attempt.actor is not None
    if is_alone and is_review_required():
        return [_("A second person must approve it first: ask for a review.")]
    return []


def _second_person(attempt: Attempt) -> list[str]:
    if not is_review_required():
        return []
    if attempt.actor is None:
        return [_("A person must approve it.")]
    asked = request_of(campaign=attempt.campaign)
    if attempt.actor.pk in {last_writer_id(campaign=attempt.campaign), asked.actor_id if asked is not None else None}:
        return [
            _(
                "You wrote it or asked for this review: a second person must approve it. "
                "A team of one can switch the review off."
            )
        ]
    return []


_LIVE = (CampaignStatus.RUNNING, CampaignStatus.PAUSED)
TRANSITIONS: Final[dict[str, Transition]] = {
    rule.name: rule
    for rule in (
        Transition(
            "submit",
            gettext_lazy("Ask for a review"),
            (CampaignStatus.DRAFT,),
            CampaignStatus.IN_REVIEW,
            gettext_lazy("A second person looks at it. Nobody can change it meanwhile; you can withdraw the request."),
            guards=(_checklist, _open_end),
        ),
        Transition(
            "withdraw",
            gettext_lazy("Withdraw the request"),
            (CampaignStatus.IN_REVIEW,),
            CampaignStatus.DRAFT,
            gettext_lazy("It becomes a draft again and can be changed."),
        ),
        Transition(
            "send_back",
            gettext_lazy("Send back"),
            (CampaignStatus.IN_REVIEW,),
            CampaignStatus.DRAFT,
            gettext_lazy("It becomes a draft again. Say what should change."),
            needs_message=True,
        ),
        Transition(
            "approve",
            gettext_lazy("Approve"),
            (CampaignStatus.IN_REVIEW,),
            CampaignStatus.SCHEDULED,
            gettext_lazy(
                "It launches by itself at its start; without one, when somebody launches it. "
                "Until then it can be taken back."
            ),
            guards=(_second_person, _checklist, _open_end),
        ),
        Transition(
            "schedule",
            pgettext_lazy("campaign action", "Schedule"),
            (CampaignStatus.DRAFT,),
            CampaignStatus.SCHEDULED,
            gettext_lazy("It launches by itself at its start. Until then it can be taken back."),
            guards=(_reviewed, _checklist, _future_start, _open_end),
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
            guards=(_reviewed, _checklist, _open_end),
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
    """Return the transitions that lead on from the campaign's state.

    A draft that needs a second person is offered the review, not the launch; scheduling needs a start.
    """
    hidden: set[str] = set()
    if campaign.status == CampaignStatus.DRAFT:
        hidden = {"launch", "schedule"} if is_review_required() else {"submit"}
    if campaign.starts_at is None:
        hidden.add("schedule")
    return [rule for rule in TRANSITIONS.values() if campaign.status in rule.sources and rule.name not in hidden]


def what_blocks(*, campaign: Campaign, name: str, at: datetime, actor: User | None = None) -> list[str]:
    """Return the reasons that stand in the way of a transition now, without trying it."""
    attempt = Attempt(campaign=campaign, at=at, actor=actor)
    return [reason for guard in TRANSITIONS[name].guards for reason in guard(attempt)]
