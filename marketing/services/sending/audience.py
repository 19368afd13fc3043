"""Freezing the audience of a campaign that is sent: who, in which arm, when. Once; a hash remembers it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import connection, transaction
from django.db.models import Exists, Max, OuterRef, QuerySet

from experiments.services.assignment import assign_many
from marketing.choices import Cadence, CampaignKind, CampaignStatus, DeliveryStatus, Purpose
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
    "expires_at",
    "triggered_at",
    "claim",
    "attempts",
    "reason",
)


@dataclass(frozen=True, slots=True)
class Frozen:
    """An audience that was written down."""

    people: int
    digest: str
    """SHA-256 over who is in which arm."""


def unfrozen() -> QuerySet[Campaign]:
    """Return the running campaigns that are sent once and whose audience is not frozen yet."""
    return Campaign.objects.filter(
        kind=CampaignKind.EMAIL, cadence=Cadence.ONCE, status=CampaignStatus.RUNNING, audience_n__isnull=True
    ).order_by("launched_at", "pk")


@transaction.atomic
def freeze(*, campaign_id: int, at: datetime) -> int | None:
    """Write one delivery per person of the audience and return their number; None where somebody else did.

    Segment ∩ consent − suppression − holdouts, then the arms: whoever is left out here is in no arm. One transaction:
    a worker that dies in the middle leaves nothing, and the next one starts again.
    """
    # The first statement is a write: on PostgreSQL the row is locked, on SQLite the whole database.
    if not Campaign.objects.filter(pk=campaign_id, audience_n__isnull=True).update(audience_n=0):
        return None
    frozen = fill(campaign=Campaign.objects.get(pk=campaign_id), at=at)
    Campaign.objects.filter(pk=campaign_id).update(audience_n=frozen.people, audience_hash=frozen.digest)
    return frozen.people


def fill(*, campaign: Campaign, at: datetime, occurrence: str = "", too_late: datetime | None = None) -> Frozen:
    """Write the deliveries of everybody in the audience now; from `too_late` on they are not sent any more."""
    compile_nothing()
    window = Window.of(campaign)
    digest, people = hashlib.sha256(), 0
    free = at
    for chunk in _chunks(campaign):
        rows = placed(campaign=campaign, people=chunk, at=at)
        moments = [window.opens(at=free, zone=zone) for _, _, zone in rows]
        due = spread(moments=moments, per_minute=campaign.per_minute)
        if campaign.per_minute and due:
            free = max(free, min(due[-1], max(due)))
        write(
            campaign=campaign,
            rows=[
                Row(profile_id, arm, moment, occurrence, too_late)
                for (profile_id, arm, _), moment in zip(rows, due, strict=True)
            ],
            at=at,
        )
        for profile_id, arm, _ in rows:
            digest.update(f"{profile_id}:{arm}\n".encode())
        people += len(rows)
    return Frozen(people, digest.hexdigest())


@dataclass(frozen=True, slots=True)
class Row:
    """One message to be written into the outbox."""

    profile_id: int
    arm_key: str
    send_at: datetime
    occurrence: str = ""
    too_late: datetime | None = None
    triggered_at: int | None = None


def write(*, campaign: Campaign, rows: Sequence[Row], at: datetime) -> int:
    """Write pending messages, of different people, into the outbox; return how many were not there yet."""
    adapt = connection.ops.adapt_datetimefield_value  # the rows go in without the ORM
    lasts = timedelta(hours=campaign.expires_hours) if campaign.expires_hours else None
    status, since = DeliveryStatus.PENDING.value, adapt(at)
    written = []
    for row in rows:
        ends = [] if row.too_late is None else [row.too_late]
        ends += [] if lasts is None else [row.send_at + lasts]
        expires_at = adapt(min(ends)) if ends else None
        message = (campaign.pk, 0, row.occurrence, row.profile_id, row.arm_key, status, since, adapt(row.send_at))
        written.append((*message, expires_at, row.triggered_at, "", 0, ""))
    return len(insert_new(model=Delivery, columns=COLUMNS, rows=written, key="profile_id"))


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
    """Yield the audience by key, so that neither side holds a million people at once.

    Each piece has both its ends: asked for the first of an open range, PostgreSQL sorts the consents of everybody.
    """
    people = audience(segment_id=campaign.segment_id, purposes=campaign.consent_purposes).order_by("pk")
    keys = Profile.objects.order_by("pk").values_list("pk", flat=True)
    last = 0
    while (end := keys.filter(pk__gt=last)[:AT_ONCE].aggregate(end=Max("pk"))["end"]) is not None:
        if chunk := list(people.filter(pk__gt=last, pk__lte=end).values_list("pk", "email", "timezone")):
            yield chunk
        last = end


def placed(*, campaign: Campaign, people: Sequence[tuple[int, str, str]], at: datetime) -> list[tuple[int, str, str]]:
    """Return (profile, arm, time zone) of those people (profile, address, time zone) who are in an arm."""
    stopped = suppressed(addresses={email for _, email, _ in people})
    left = [(pk, zone) for pk, email, zone in people if email not in stopped]
    assigned = assign_many(
        experiment_key=campaign.experiment_key,
        unit_type=UNIT_TYPE,
        unit_ids=[str(pk) for pk, _ in left],
        attributes=read_columns(experiment_key=campaign.experiment_key, profile_ids=[pk for pk, _ in left]),
        at=at,
    )
    return [
        (pk, assignment.arm_key, zone)
        for (pk, zone), assignment in zip(left, assigned, strict=True)
        if assignment.arm_key is not None and assignment.is_in
    ]
