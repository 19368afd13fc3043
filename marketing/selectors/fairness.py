"""What fairness reports can be asked for."""

from __future__ import annotations

from dataclasses import dataclass

from marketing.choices import CampaignStatus
from marketing.models import Campaign, Segment

MOST = 100


@dataclass(frozen=True, slots=True)
class Choices:
    """The newest campaigns that ran, and the segments, as (short name, name)."""

    campaigns: list[tuple[str, str]]
    segments: list[tuple[str, str]]


def choices() -> Choices:
    """Return what there is to report on."""
    ran = Campaign.objects.exclude(status=CampaignStatus.DRAFT).exclude(experiment_key="").order_by("-pk")
    segments = Segment.objects.filter(archived_at=None).order_by("name", "pk")
    return Choices(
        campaigns=list(ran.values_list("slug", "name")[:MOST]),
        segments=list(segments.values_list("slug", "name")[:MOST]),
    )
