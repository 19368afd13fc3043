"""Which experiments would reach the same people as a campaign, in the same place and at the same time."""

from __future__ import annotations

from experiments.ports import targeting
from experiments.selectors import Collision, Planned, list_collisions, list_planned_collisions
from marketing.models import Campaign
from marketing.segmentation.targeting import SEGMENTS
from marketing.selectors.people import UNIT_TYPE, place_of


def campaign_collisions(*, campaign: Campaign) -> list[Collision]:
    """Return what runs beside a campaign, before its launch (it is no experiment yet) and after."""
    if campaign.experiment_key:
        return list_collisions(experiment_key=campaign.experiment_key)
    rule: targeting.Rule = targeting.EVERYONE
    if campaign.segment is not None:
        rule = targeting.Condition(SEGMENTS, "contains", campaign.segment.slug)
    return list_planned_collisions(planned=Planned(unit_type=UNIT_TYPE, rule=rule, place=place_of(campaign)))
