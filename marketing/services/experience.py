"""What one visitor sees in a campaign's slot: eligibility → arm → exposure → content, in this order."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db import DatabaseError, connection

from experiments.errors import ExperimentsError
from experiments.services.assignment import Assignment, assign
from experiments.services.exposure import ExposureRow, record_many
from marketing.choices import Outside
from marketing.models import OutsideCount
from marketing.segmentation.clock import to_micros
from marketing.selectors.campaigns import ArmConfig, CampaignConfig, public_config
from marketing.selectors.people import read_attributes
from marketing.services.audience import Person, Visitor, find_person, outside
from recommender.errors import RecommenderError
from recommender.reports import Recommendation
from recommender.services.serving import recommend

log = logging.getLogger(__name__)

UNIT_TYPE: Final = "profile"
SOURCE: Final = "campaign-page"
NOTHING_FORCED: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True)
class Experience:
    """Everything the slot renders."""

    campaign: CampaignConfig
    arm: ArmConfig
    outside: Outside | None
    """Why this is the default outside the experiment; None for somebody in an arm, or in a shipped one."""
    is_exposed: bool
    person: Person | None
    recommendation: Recommendation | None
    """None when the arm asks for none, or when there are none to be had: the creative still shows."""


def serve(*, slug: str, visitor: Visitor, at: datetime, forced: Mapping[str, str] = NOTHING_FORCED) -> Experience:
    """Return what to show. Nothing that fails below stops the page: it falls back to the default experience.

    `forced` names the arm of experiments that somebody checks with a signed link: it is shown, and nothing is recorded.
    """
    campaign = public_config(slug=slug)
    checked = campaign.arm(forced.get(campaign.experiment_key, "")) if forced else None
    if checked is not None:
        return preview(arm=checked, campaign=campaign, profile_id=None, at=at)
    try:
        person = find_person(visitor=visitor, segment_id=campaign.segment_id, purposes=campaign.consent_purposes)
        why = outside(visitor=visitor, person=person, campaign=campaign)
        if why is not None or person is None:
            return _default(campaign, why or Outside.NO_VISITOR, visitor, person, at)
        return _in_experiment(campaign, visitor, person, at)
    except (DatabaseError, ExperimentsError):
        log.exception("campaign page: the default is served", extra={"campaign": slug})
        return _plain(campaign, Outside.NOT_RECORDED)


def preview(*, arm: ArmConfig, campaign: CampaignConfig, profile_id: int | None, at: datetime) -> Experience:
    """Return what an arm looks like to one person (or to a stranger); nothing is recorded."""
    user_id = "" if profile_id is None else str(profile_id)
    return Experience(
        campaign=campaign,
        arm=arm,
        outside=None,
        is_exposed=False,
        person=None,
        recommendation=recommendation_for(
            arm, user_id=user_id, context={}, at=at, held_by=campaign.experiment_key, is_logged=False
        ),
    )


def _in_experiment(campaign: CampaignConfig, visitor: Visitor, person: Person, at: datetime) -> Experience:
    unit_id = str(person.profile_id)
    assignment = assign(
        experiment_key=campaign.experiment_key,
        unit_type=UNIT_TYPE,
        unit_id=unit_id,
        attributes=read_attributes(experiment_key=campaign.experiment_key, profile_ids=[person.profile_id]).get(
            person.profile_id, {}
        ),
        at=at,
        aliases=person.aliases,
    )
    arm = campaign.arm(assignment.arm_key) if assignment.arm_key is not None else None
    if arm is None:
        return _default(campaign, Outside.NOT_ASSIGNED, visitor, person, at)
    if assignment.is_in and not _expose(campaign, assignment, unit_id, at):
        return _default(campaign, Outside.NOT_RECORDED, visitor, person, at)
    context = {"campaign": campaign.slug, "arm": arm.key}
    if assignment.is_in:
        context["experiment"] = campaign.experiment_key
    return Experience(
        campaign=campaign,
        arm=arm.in_language(person.language),
        outside=None,
        is_exposed=assignment.is_in,
        person=person,
        recommendation=recommendation_for(
            arm, user_id=unit_id, context=context, at=at, held_by=campaign.experiment_key
        ),
    )


def _expose(campaign: CampaignConfig, assignment: Assignment, unit_id: str, at: datetime) -> bool:
    """Record the exposure, before any content of the arm is made; the same line for every arm."""
    row = ExposureRow(
        experiment_key=campaign.experiment_key,
        unit_type=UNIT_TYPE,
        unit_id=unit_id,
        arm_key=assignment.arm_key or "",
        phase=assignment.phase or 0,
        at=to_micros(at),
        source=SOURCE,
        basis={"schema": 1, "consents": list(campaign.consent_purposes), "segment": campaign.segment_id},
    )
    return record_many(rows=[row]).accepted == 1


def _default(
    campaign: CampaignConfig, why: Outside, visitor: Visitor, person: Person | None, at: datetime
) -> Experience:
    """Return the default experience: the control's words, items for a stranger, no arm, no name."""
    _count(campaign, why, at)
    arm = campaign.default_arm
    shows_items = not visitor.suspicion and campaign.is_running
    recommendation = None
    if shows_items:
        held_by = campaign.experiment_key
        recommendation = recommendation_for(arm, user_id="", context={}, at=at, held_by=held_by, is_logged=False)
    return Experience(
        campaign=campaign, arm=arm, outside=why, is_exposed=False, person=person, recommendation=recommendation
    )


def _count(campaign: CampaignConfig, why: Outside, at: datetime) -> None:
    """Count a default experience without naming anybody (a person without consent leaves nothing else)."""
    table = connection.ops.quote_name(OutsideCount._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} AS known (campaign_id, day, reason, n) VALUES (%s, %s, %s, 1) "  # noqa: S608 (a constant)
            "ON CONFLICT (campaign_id, day, reason) DO UPDATE SET n = known.n + 1",
            [campaign.pk, connection.ops.adapt_datefield_value(at.date()), why.value],
        )


def _plain(campaign: CampaignConfig, why: Outside) -> Experience:
    return Experience(
        campaign=campaign,
        arm=campaign.default_arm,
        outside=why,
        is_exposed=False,
        person=None,
        recommendation=None,
    )


def recommendation_for(
    arm: ArmConfig,
    *,
    user_id: str,
    context: dict[str, str],
    at: datetime,
    held_by: str = "",
    is_logged: bool = True,
) -> Recommendation | None:
    """Return the arm's items, or None where it asks for none or none are to be had."""
    if not arm.strategy:
        return None
    try:
        return recommend(
            user_id=user_id,
            k=arm.item_count,
            strategy=arm.strategy,
            context=context,
            at=at,
            held_by=held_by,
            log=is_logged,
        )
    except RecommenderError:
        log.exception("no recommendations: the creative shows alone", extra={"strategy": arm.strategy})
        return None
