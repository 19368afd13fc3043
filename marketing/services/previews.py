"""How arms look before anybody is shown them, and as whom a member of staff can see a running campaign."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from experiments.errors import ExperimentsError
from experiments.services.assignment import assign
from marketing.selectors.campaigns import ArmConfig, CampaignConfig
from marketing.selectors.people import read_attributes
from marketing.selectors.visitors import DemoPerson, demo_people
from marketing.services.campaigns import ArmDraft, CampaignDraft
from marketing.services.experience import UNIT_TYPE, recommendation_for
from recommender.reports import SlateItem

SEATS: Final = 8
"""Enough that both of two arms are nearly always among them (1 − 2⁻⁷)."""


@dataclass(frozen=True, slots=True)
class ArmPreview:
    """One arm of a draft: its words, and the items it would show."""

    arm: ArmConfig
    items: tuple[SlateItem, ...]


@dataclass(frozen=True, slots=True)
class Seat:
    """A demo person and the arm that person is in."""

    person: DemoPerson
    arm: ArmConfig


def preview_draft(*, draft: CampaignDraft, at: datetime) -> list[ArmPreview]:
    """Return how each arm of a draft looks to a stranger; nothing is recorded."""
    return [_preview(config_of(arm), at) for arm in draft.arms]


def seats(*, campaign: CampaignConfig, at: datetime) -> list[Seat]:
    """Return demo people whom the campaign addresses, with their arms."""
    if not campaign.is_running:
        return []
    people = demo_people(segment_id=campaign.segment_id, limit=SEATS)
    taken = [(person, _arm_of(campaign, person, at)) for person in people]
    return [Seat(person=person, arm=arm) for person, arm in taken if arm is not None]


def _arm_of(campaign: CampaignConfig, person: DemoPerson, at: datetime) -> ArmConfig | None:
    try:
        assignment = assign(
            experiment_key=campaign.experiment_key,
            unit_type=UNIT_TYPE,
            unit_id=str(person.profile_id),
            attributes=read_attributes(experiment_key=campaign.experiment_key, profile_ids=[person.profile_id]).get(
                person.profile_id, {}
            ),
            at=at,
        )
    except ExperimentsError:
        return None
    return campaign.arm(assignment.arm_key) if assignment.arm_key is not None else None


def _preview(arm: ArmConfig, at: datetime) -> ArmPreview:
    recommendation = recommendation_for(arm, user_id="", context={}, at=at, is_logged=False)
    return ArmPreview(arm=arm, items=() if recommendation is None else recommendation.items)


def config_of(arm: ArmDraft) -> ArmConfig:
    """Return what a draft's arm shows; its button leads nowhere yet."""
    return ArmConfig(
        key=arm.key,
        name=arm.name,
        is_control=arm.is_control,
        subject=arm.subject,
        headline=arm.headline,
        body=arm.body,
        button_text=arm.button_text,
        image=arm.image,
        link_id=None,
        strategy=arm.strategy,
        item_count=arm.item_count,
        translations=arm.translations,
    )
