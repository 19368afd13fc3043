"""Who a visitor is, and whether a campaign may address them: consent and segment, before any randomization."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from django.core.cache import cache
from django.db.models import Exists, OuterRef, QuerySet, Subquery, Value
from django.db.models.fields import BooleanField

from marketing.choices import IdentityKind, Outside, Purpose
from marketing.models import Consent, Identity, Membership, Profile, ProfileAlias
from marketing.selectors.campaigns import CampaignConfig

REACH_SECONDS: Final = 60
"""Counting consents over millions of people is not done for every look at a page."""

MEASURED: Final = (Purpose.ANALYTICS.value,)


@dataclass(frozen=True, slots=True)
class Visitor:
    """What the request says of the person, before any look into the database."""

    anonymous_id: str = ""
    """From the first-party cookie, which exists only after consent."""
    demo_profile_id: int | None = None
    """A person of the demo world whom a member of staff plays."""
    suspicion: str = ""
    """Why this is no person: `head`, `prefetch`, `bot`; empty for a person."""
    opts_out: bool = False
    """`Sec-GPC: 1`."""

    @property
    def is_recognizable(self) -> bool:
        return not self.opts_out and (bool(self.anonymous_id) or self.demo_profile_id is not None)


@dataclass(frozen=True, slots=True)
class Person:
    """A visitor whom we know."""

    profile_id: int
    purposes: frozenset[str]
    """Which of the consents asked for are in force."""
    is_member: bool
    """In the campaign's segment, or the campaign has none."""
    aliases: tuple[str, ...]
    """Unit ids of profiles that were merged into this one: they keep their arm."""
    is_objector: bool = False
    """Objects to direct marketing: in no arm of a campaign, and recommended nothing by name."""
    language: str = ""


def find_person(
    *, visitor: Visitor, segment_id: int | None = None, purposes: Collection[str] = MEASURED
) -> Person | None:
    """Return the person behind a visitor, in one query (two after a merge); None for nobody we may recognize."""
    if not visitor.is_recognizable:
        return None
    consents = {f"has_{purpose}": _granted(purpose) for purpose in purposes}
    profile = (
        _profiles(visitor)
        .annotate(
            is_member=_is_member(segment_id),
            has_aliases=Exists(ProfileAlias.objects.filter(winner_id=OuterRef("pk"))),
            **consents,
        )
        .values("pk", "language", "is_member", "is_objector", "has_aliases", *consents)
        .first()
    )
    if profile is None:
        return None
    return Person(
        profile_id=profile["pk"],
        purposes=frozenset(purpose for purpose in purposes if profile[f"has_{purpose}"]),
        is_member=profile["is_member"],
        aliases=_aliases(profile["pk"]) if profile["has_aliases"] else (),
        is_objector=profile["is_objector"],
        language=profile["language"],
    )


def outside(*, visitor: Visitor, person: Person | None, campaign: CampaignConfig) -> Outside | None:
    """Return why the visitor gets the default experience, or None: then, and only then, an arm is assigned."""
    if not campaign.is_running:
        return Outside.NOT_RUNNING
    if visitor.suspicion:
        return Outside.BOT
    if visitor.opts_out:
        return Outside.PRIVACY_SIGNAL
    if person is None:
        return Outside.NO_VISITOR
    if person.is_objector:
        return Outside.OBJECTED
    if not person.purposes.issuperset(campaign.consent_purposes):
        return Outside.NO_CONSENT
    return None if person.is_member else Outside.NOT_IN_SEGMENT


def reachable(*, segment_id: int | None, purposes: tuple[str, ...]) -> int:
    """Return how many people a campaign with this segment and these consents can address, at most a minute old."""
    key = f"reachable:{segment_id}:{','.join(sorted(purposes))}"
    known: int | None = cache.get(key)
    if known is None:
        known = _count_reachable(segment_id, purposes)
        cache.set(key, known, REACH_SECONDS)
    return known


def _count_reachable(segment_id: int | None, purposes: tuple[str, ...]) -> int:
    people = Profile.objects.living().filter(is_objector=False)
    if segment_id is not None:
        people = people.filter(Exists(Membership.objects.filter(segment_id=segment_id, profile_id=OuterRef("pk"))))
    for purpose in purposes:
        people = people.filter(Exists(agreed(purpose)))
    return people.count()


def agreed(purpose: str) -> QuerySet[Consent]:
    """Return the outer profile's newest word on the purpose if it is a yes."""
    later = Consent.objects.filter(profile_id=OuterRef("profile_id"), purpose=purpose).order_by("-at", "-pk")
    newest = Consent.objects.filter(profile_id=OuterRef("pk"), purpose=purpose, granted=True)
    return newest.filter(pk=Subquery(later.values("pk")[:1]))


def _profiles(visitor: Visitor) -> QuerySet[Profile]:
    if visitor.demo_profile_id is not None:
        return Profile.objects.filter(pk=visitor.demo_profile_id, is_demo=True).order_by("pk")
    identity = Identity.objects.filter(kind=IdentityKind.ANONYMOUS, value=visitor.anonymous_id)
    return Profile.objects.filter(pk__in=identity.values("profile_id")).order_by("pk")


def _is_member(segment_id: int | None) -> Exists | Value:
    if segment_id is None:
        return Value(value=True, output_field=BooleanField())
    return Exists(Membership.objects.filter(segment_id=segment_id, profile_id=OuterRef("pk")))


def _granted(purpose: str) -> Subquery:
    """Return the newest word of the outer profile on this purpose; NULL where there is none."""
    newest = Consent.objects.filter(profile_id=OuterRef("pk"), purpose=purpose).order_by("-at", "-pk")
    return Subquery(newest.values("granted")[:1])


def _aliases(profile_id: int) -> tuple[str, ...]:
    losers = ProfileAlias.objects.filter(winner_id=profile_id).order_by("pk").values_list("loser_id", flat=True)
    return tuple(str(pk) for pk in losers)
