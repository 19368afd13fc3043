"""Reads of people: one profile with everything about it, search by identity, what experiments may target."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Q
from django.utils.translation import gettext as _

from experiments.selectors import UnitExposure, list_unit_exposures
from marketing.choices import IdentityKind, TraitOrigin, TraitType
from marketing.models import (
    Delivery,
    Event,
    Identity,
    Merge,
    Profile,
    ProfileAlias,
    ProfileTrait,
)
from marketing.segmentation.clock import from_micros
from marketing.segmentation.vocabulary import EPOCH_DAY, MICRO
from marketing.selectors.traits import how_made

UNIT_TYPE: Final = "profile"
TIMELINE: Final = 50
RECENT: Final = 50


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """One event as a page shows it."""

    pk: int
    at: datetime
    event: str
    item: str
    value: float | None
    identity: str
    source: str
    props: dict[str, Any]


@dataclass(frozen=True, slots=True)
class TraitRow:
    """One declared trait with where its value comes from."""

    key: str
    name: str
    value: Any
    sensitivity: str
    source: str
    at: datetime
    is_computed: bool = False
    made: str = ""


def get_profile(*, public_id: str) -> Profile | None:
    """Return the profile of a public id; a merged one gives its winner."""
    try:
        wanted = uuid.UUID(public_id)
    except ValueError:
        return None
    profile = Profile.objects.select_related("merged_into").filter(public_id=wanted).first()
    return profile.merged_into if profile is not None and profile.merged_into is not None else profile


def find_by_identity(*, value: str, kind: IdentityKind | None = None) -> Sequence[Profile]:
    """Return the people with exactly this identity (an address in any case), each once."""
    text = value.strip()
    if not text:
        return []
    # The index begins with the kind: naming all kinds keeps the look-up a handful of index probes.
    kinds = IdentityKind.values if kind is None else [kind.value]
    rows = Identity.objects.filter(Q(kind__in=kinds, value=text) | Q(kind=IdentityKind.EMAIL, value=text.lower()))
    found = set(rows.filter(kind__in=kinds).values_list("profile_id", flat=True))
    if kind in (None, IdentityKind.EMAIL):
        found.update(Profile.objects.living().filter(email=text.lower()).values_list("pk", flat=True)[:RECENT])
    return list(Profile.objects.filter(pk__in=found).order_by("pk")[:RECENT])


def recent_profiles(*, before: int | None = None) -> list[Profile]:
    """Return the newest people, in pages that cost the same however many there are."""
    rows = Profile.objects.living().order_by("-pk")
    if before is not None:
        rows = rows.filter(pk__lt=before)
    return list(rows[:RECENT])


def identities(*, profile_id: int) -> list[Identity]:
    """Return the ways in which a person is recognised."""
    return list(Identity.objects.filter(profile=profile_id).order_by("kind", "value"))


def alias_ids(*, profile_id: int) -> list[int]:
    """Return the profiles that were merged into this one."""
    return list(ProfileAlias.objects.filter(winner=profile_id).order_by("pk").values_list("loser_id", flat=True))


def traits(*, profile_id: int) -> list[TraitRow]:
    """Return the declared traits of a person."""
    rows = ProfileTrait.objects.filter(profile=profile_id).select_related("definition", "source")
    return [
        TraitRow(
            key=row.definition.key,
            name=_(row.definition.name) if row.definition.origin == TraitOrigin.COMPUTED else row.definition.name,
            value=_readable(row),
            sensitivity=row.definition.sensitivity,
            source=row.source.name if row.source else "",
            at=from_micros(row.at),
            is_computed=row.definition.origin == TraitOrigin.COMPUTED,
            made=how_made(row.definition.recipe) if row.definition.origin == TraitOrigin.COMPUTED else "",
        )
        for row in rows.order_by("definition__name", "pk")
    ]


def _readable(row: ProfileTrait) -> Any:
    if row.number is None:
        return row.text
    if row.definition.type == TraitType.BOOLEAN:
        return bool(row.number)
    if row.definition.type == TraitType.DATE:
        return EPOCH_DAY + timedelta(days=int(row.number))
    return int(row.number) if row.number.is_integer() else row.number


def timeline(*, profile_id: int, before: tuple[int, int] | None = None) -> list[TimelineRow]:
    """Return the newest events; `before` is the (moment, key) of the last one of the page before."""
    rows = Event.objects.filter(profile=profile_id).select_related("type", "identity", "source")
    if before is not None:
        at, pk = before
        rows = rows.filter(Q(at__lt=at) | Q(at=at, pk__lt=pk))
    return [
        TimelineRow(
            pk=row.pk,
            at=from_micros(row.at),
            event=row.type.name,
            item=row.item or "",
            value=None if row.value is None else row.value / MICRO,
            identity=str(row.identity),
            source=row.source.name,
            props=row.props,
        )
        for row in rows.order_by("-at", "-pk")[:TIMELINE]
    ]


def arms(*, profile_id: int) -> list[UnitExposure]:
    """Return the experiments in which a person was exposed, those of merged profiles included."""
    units = [profile_id, *alias_ids(profile_id=profile_id)]
    return [row for unit in units for row in list_unit_exposures(unit_type=UNIT_TYPE, unit_id=str(unit))]


def deliveries(*, profile_id: int) -> list[Delivery]:
    """Return the latest messages of campaigns to a person, newest first."""
    rows = Delivery.objects.filter(profile=profile_id).select_related("campaign")
    return list(rows.order_by("-status_at", "-pk")[:RECENT])


def merges(*, profile_id: int) -> list[Merge]:
    """Return the joins that the profile won, newest first."""
    return list(Merge.objects.filter(winner=profile_id).select_related("loser").order_by("-at", "-pk"))


def people(*, ids: Sequence[int]) -> list[Profile]:
    """Return these profiles in the order of their keys."""
    return list(Profile.objects.filter(pk__in=ids).order_by("pk"))
