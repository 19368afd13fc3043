"""Reads for the demo shop: the people a member of staff can play."""

from __future__ import annotations

from dataclasses import dataclass

from marketing.choices import IdentityKind
from marketing.models import Identity, Profile


@dataclass(frozen=True, slots=True)
class DemoPerson:
    """A person of the demo world."""

    profile_id: int
    label: str


def find_demo_person(*, wanted: str) -> int | None:
    """Return the living demo profile with this number or e-mail address."""
    people = Profile.objects.living().filter(is_demo=True)
    if wanted.isdigit():
        people = people.filter(pk=int(wanted))
    else:
        named = Identity.objects.filter(kind=IdentityKind.EMAIL, value=wanted.strip().lower())
        people = people.filter(pk__in=named.values("profile_id"))
    return people.order_by("pk").values_list("pk", flat=True).first()


def demo_people(*, segment_id: int | None, limit: int) -> list[DemoPerson]:
    """Return some demo people whom a campaign may address, in the order of their sample bucket."""
    people = Profile.objects.living().filter(is_demo=True)
    if segment_id is not None:
        people = people.filter(memberships__segment_id=segment_id)
    rows = people.order_by("sample_bucket", "pk").values_list("pk", "email")[:limit]
    return [DemoPerson(profile_id=pk, label=email or str(pk)) for pk, email in rows]
