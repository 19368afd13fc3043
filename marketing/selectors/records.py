"""Reads for the management API: querysets, for filters, orders and pages."""

from __future__ import annotations

from django.db.models import QuerySet

from marketing.choices import IdentityKind
from marketing.models import ChangeLog, Event, Profile, Sender, Source, WriteKey
from marketing.selectors.campaigns import get_campaign
from marketing.selectors.profiles import find_by_identity


def people(*, identity: str = "", kind: IdentityKind | None = None) -> QuerySet[Profile]:
    """Everybody, or who has exactly this identity."""
    rows = Profile.objects.living()
    if identity:
        rows = rows.filter(pk__in=[row.pk for row in find_by_identity(value=identity, kind=kind)])
    return rows


def events_of(*, profile_id: int) -> QuerySet[Event]:
    """What a person did."""
    return Event.objects.filter(profile=profile_id).select_related("type", "source")


def sources() -> QuerySet[Source]:
    """Where events come from."""
    return Source.objects.all()


def get_source(*, name: str) -> Source | None:
    """The source of this name."""
    return Source.objects.filter(name=name).first()


def keys_of(*, source: Source) -> QuerySet[WriteKey]:
    """The keys of a source, revoked ones too."""
    return WriteKey.objects.filter(source=source).select_related("acts_for")


def get_sender(*, email: str) -> Sender | None:
    """The sender with this address; the oldest, should there be several."""
    return Sender.objects.filter(email__iexact=email).order_by("pk").first()


def changes(*, campaign: str = "") -> QuerySet[ChangeLog]:
    """The log of this app's changes. Raises `UnknownCampaign`."""
    rows = ChangeLog.objects.select_related("actor").defer("snapshot")
    if campaign:
        rows = rows.filter(object_type="campaign", object_id=str(get_campaign(slug=campaign).pk))
    return rows
