"""Freezing the audience of a campaign that is sent: who, in which arm, when. Once; a hash remembers it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, QuerySet

from experiments.services.assignment import assign_many
from marketing.choices import CampaignKind, CampaignStatus, DeliveryStatus, Purpose
from marketing.models import Campaign, Delivery, Membership, Profile
from marketing.selectors.people import read_columns
from marketing.services.audience import agreed
from marketing.services.bulk import compile_nothing, insert_new
from marketing.services.experience import UNIT_TYPE
from marketing.services.sending.suppression import suppressed
from marketing.services.sending.timing import Window, spread

AT_ONCE: Final = 10_000  # people
COLUMNS: Final = (
    "campaign_id",
    "step",
    "occurrence",
    "profile_id",
    "arm_key",
    "status",
    "status_at",
    "send_at",
    "claim",
    "attempts",
    "reason",
)


def unfrozen() -> QuerySet[Campaign]:
    """Return the running campaigns whose audience is not frozen yet."""
    return Campaign.objects.filter(
        kind=CampaignKind.EMAIL, status=CampaignStatus.RUNNING, audience_n__isnull=True
    ).order_by("launched_at", "pk")


@transaction.atomic
def freeze(*, campaign_id: int, at: datetime) -> int | None:
    """Write one delivery per person of the audience and return their number; None where somebody else did.

    Segment ∩ consent − suppression − holdouts, then the arms: whoever is left out here is in no arm. One transaction:
    a worker that dies in the middle leaves nothing, and the next one starts again.
    """
    compile_nothing()
    # The first statement is a write: on PostgreSQL the row is locked, on SQLite the whole database.
    if not Campaign.objects.filter(pk=campaign_id, audience_n__isnull=True).update(audience_n=0):
        return None
    campaign = Campaign.objects.get(pk=campaign_id)
    window = Window(campaign.window_from, campaign.window_until)
    adapt = connection.ops.adapt_datetimefield_value  # the rows go in without the ORM
    digest, people = hashlib.sha256(), 0
    free = at
    for chunk in _chunks(campaign):
        rows = _rows(campaign, chunk, at=at)
        moments = [window.opens(at=free, zone=zone) for _, _, zone in rows]
        due = spread(moments=moments, per_minute=campaign.per_minute)
        if campaign.per_minute and due:
            free = max(free, min(due[-1], max(due)))
        insert_new(
            model=Delivery,
            columns=COLUMNS,
            rows=[
                (campaign.pk, 0, "", profile_id, arm, DeliveryStatus.PENDING.value, adapt(at), adapt(moment), "", 0, "")
                for (profile_id, arm, _), moment in zip(rows, due, strict=True)
            ],
            key="profile_id",
        )
        for profile_id, arm, _ in rows:
            digest.update(f"{profile_id}:{arm}\n".encode())
        people += len(rows)
    Campaign.objects.filter(pk=campaign_id).update(audience_n=people, audience_hash=digest.hexdigest())
    return people


def audience(*, segment_id: int | None, purposes: Sequence[str]) -> QuerySet[Profile]:
    """Return the people with an address whom such a campaign may write to, before suppression."""
    people = Profile.objects.living().filter(marketing_ok=True).exclude(email="")
    if segment_id is not None:
        people = people.filter(Exists(Membership.objects.filter(segment_id=segment_id, profile_id=OuterRef("pk"))))
    for purpose in purposes:
        if purpose != Purpose.MARKETING_EMAIL:  # `marketing_ok` is that one's copy
            people = people.filter(Exists(agreed(purpose)))
    return people


def _chunks(campaign: Campaign) -> Iterator[list[tuple[int, str, str]]]:
    """Yield the audience by key, so that neither side holds a million people at once."""
    people = audience(segment_id=campaign.segment_id, purposes=campaign.consent_purposes).order_by("pk")
    last = 0
    while chunk := list(people.filter(pk__gt=last).values_list("pk", "email", "timezone")[:AT_ONCE]):
        yield chunk
        last = chunk[-1][0]


def _rows(campaign: Campaign, chunk: Sequence[tuple[int, str, str]], *, at: datetime) -> list[tuple[int, str, str]]:
    """Return (profile, arm, time zone) of those who are assigned."""
    stopped = suppressed(addresses={email for _, email, _ in chunk})
    people = [(pk, zone) for pk, email, zone in chunk if email not in stopped]
    assigned = assign_many(
        experiment_key=campaign.experiment_key,
        unit_type=UNIT_TYPE,
        unit_ids=[str(pk) for pk, _ in people],
        attributes=read_columns(experiment_key=campaign.experiment_key, profile_ids=[pk for pk, _ in people]),
        at=at,
    )
    return [
        (pk, assignment.arm_key, zone)
        for (pk, zone), assignment in zip(people, assigned, strict=True)
        if assignment.arm_key is not None and assignment.is_in
    ]
