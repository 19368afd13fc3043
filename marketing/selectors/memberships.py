"""Memberships by identity, for those who know people by what clients call them."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from django.db.models import Count, F, Max

from marketing.choices import IdentityKind
from marketing.models import Identity, Membership, MembershipEvent, Merge


def membership_version() -> tuple[int, ...]:
    """Numbers that differ after every change of memberships and of identities' owners."""
    entered = MembershipEvent.objects.aggregate(last=Max("pk"))["last"] or 0
    known = Identity.objects.aggregate(n=Count("pk"), last=Max("pk"))
    merged = Merge.objects.aggregate(n=Count("pk"), undone=Count("undone_at"))
    return (entered, known["n"], known["last"] or 0, merged["n"], merged["undone"])


def identities_in(*, slugs: Collection[str]) -> Iterator[tuple[str, str, str]]:
    """Yield (kind, value, segment) of everybody in these segments whom clients can name, a chunk in memory."""
    rows = Membership.objects.filter(
        segment__slug__in=slugs,
        segment__archived_at=None,
        profile__identities__kind__in=(IdentityKind.USER_ID, IdentityKind.ANONYMOUS),
    )
    yield from rows.values_list(
        F("profile__identities__kind"), F("profile__identities__value"), F("segment__slug")
    ).iterator(chunk_size=5_000)
