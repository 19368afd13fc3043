"""What happens to campaigns by the clock: scheduled ones launch at their start, running ones finish at their end."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from marketing.choices import CampaignStatus
from marketing.errors import CannotTransition
from marketing.models import Campaign
from marketing.services import lifecycle

log = logging.getLogger(__name__)

MESSAGE: Final = "by the timetable"


@dataclass(slots=True)
class Advanced:
    """What one look at the clock did, by slug."""

    launched: list[str] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)
    blocked: dict[str, str] = field(default_factory=dict)


def advance(*, at: datetime) -> Advanced:
    """Launch and finish what is due. Two clocks at once do no harm: each transition is won once."""
    result = Advanced()
    due = Campaign.objects.filter(status=CampaignStatus.SCHEDULED, starts_at__lte=at)
    for campaign in due.order_by("starts_at", "pk"):
        _try("launch", campaign, result.launched, result, at)
    over = Campaign.objects.filter(status__in=(CampaignStatus.RUNNING, CampaignStatus.PAUSED), ends_at__lte=at)
    for campaign in over.order_by("ends_at", "pk"):
        _try("finish", campaign, result.finished, result, at)
    return result


def _try(name: str, campaign: Campaign, done: list[str], result: Advanced, at: datetime) -> None:
    try:
        lifecycle.ACTIONS[name](campaign_id=campaign.pk, at=at, message=MESSAGE)
    except CannotTransition as error:
        log.warning("campaign %s: %s is due and not possible: %s", campaign.slug, name, error)
        result.blocked[campaign.slug] = str(error)
    else:
        done.append(campaign.slug)
