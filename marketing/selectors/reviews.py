"""What a second person looks at: who asked, what changes, and what happened before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db.models import CharField, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Cast, Coalesce

from marketing.choices import CampaignStatus
from marketing.errors import UnknownCampaign
from marketing.models import Campaign, ChangeLog, ReviewPolicy
from marketing.selectors.differences import Difference, differences

WRITTEN: Final = ("create", "revise")
JUDGED: Final = ("approve", "send_back")
MOST_REVIEWS: Final = 20
"""On the home page; the list of campaigns has the others."""


@dataclass(frozen=True, slots=True)
class Review:
    """One draft before the eyes of a second person."""

    request: ChangeLog | None
    """None where nobody asked yet."""
    since: ChangeLog | None
    """The last time somebody judged it; None: nobody ever did, and everything is new."""
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One row of the change log with what it changed."""

    row: ChangeLog
    before_at: datetime | None
    differences: tuple[Difference, ...]


def is_review_required() -> bool:
    """Tell whether a second person must approve campaigns; only a stored no says no."""
    policy = review_policy()
    return policy is None or policy.is_on


def review_policy() -> ReviewPolicy | None:
    """Return the stored policy; None: it was never touched, and the review is on."""
    return ReviewPolicy.objects.select_related("changed_by").order_by("pk").first()


def policy_log(*, limit: int = 20) -> QuerySet[ChangeLog]:
    """Return who switched the review, newest first."""
    rows = ChangeLog.objects.filter(object_type="review_policy").select_related("actor")
    return rows.order_by("-at", "-pk")[:limit]


def request_of(*, campaign: Campaign) -> ChangeLog | None:
    """Return the request for the review that is open; None where there is none."""
    if campaign.status != CampaignStatus.IN_REVIEW:
        return None
    return _newest(campaign, ("submit",))


def last_writer_id(*, campaign: Campaign) -> int | None:
    """Return who wrote the draft as it is; None for the system."""
    row = _newest(campaign, WRITTEN)
    return row.actor_id if row is not None else None


def reviewable(*, user_id: int) -> list[Campaign]:
    """Return the campaigns that wait for a review by this person, who neither wrote nor asked; the oldest first."""
    asked, wrote = (_newest_actor(transitions) for transitions in (("submit",), WRITTEN))
    waiting = Campaign.objects.filter(status=CampaignStatus.IN_REVIEW).annotate(asked_by=asked, written_by=wrote)
    others = waiting.exclude(asked_by=user_id).exclude(written_by=user_id)
    return list(others.order_by("created_at", "pk")[:MOST_REVIEWS])


def _newest_actor(transitions: tuple[str, ...]) -> Coalesce:
    """Of the outer campaign: who made the last of these transitions, 0 for the system."""
    rows = ChangeLog.objects.filter(
        object_type="campaign", object_id=Cast(OuterRef("pk"), CharField()), transition__in=transitions
    )
    newest = Subquery(rows.order_by("-pk").values("actor_id")[:1], output_field=IntegerField())
    return Coalesce(newest, 0)


def review_of(*, campaign: Campaign, snapshot: Mapping[str, Any]) -> Review:
    """Return what changes since somebody judged the campaign last; `snapshot` is what it says now."""
    since = _newest(campaign, JUDGED)
    return Review(
        request=request_of(campaign=campaign),
        since=since,
        differences=differences(before=since.snapshot if since is not None else {}, after=snapshot),
    )


def change_of(*, campaign: Campaign, change_id: int) -> Change:
    """Return one row of a campaign's log beside the one before it; `UnknownCampaign` where it has no such row."""
    rows = ChangeLog.objects.filter(object_type="campaign", object_id=str(campaign.pk)).select_related("actor")
    row = rows.filter(pk=change_id).first()
    if row is None:
        raise UnknownCampaign(f"The campaign {campaign.slug!r} has no change with the number {change_id}.")
    before = rows.filter(pk__lt=change_id).order_by("-pk").first()
    return Change(
        row=row,
        before_at=before.at if before is not None else None,
        differences=differences(before=before.snapshot if before is not None else {}, after=row.snapshot),
    )


def _newest(campaign: Campaign, transitions: tuple[str, ...]) -> ChangeLog | None:
    rows = ChangeLog.objects.filter(object_type="campaign", object_id=str(campaign.pk), transition__in=transitions)
    return rows.select_related("actor").order_by("-pk").first()
