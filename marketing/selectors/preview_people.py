"""As whom somebody may look at a campaign before it goes."""

from __future__ import annotations

from typing import Final

from django.db.models import Exists, OuterRef

from marketing.models import Membership, Profile
from marketing.selectors.profiles import find_by_identity, get_profile

SHOWN: Final = 8


def find_for_preview(*, text: str) -> Profile | None:
    """Return the person of a public id, an identity (an address, a user id) or a number; None for nobody."""
    found = get_profile(public_id=text) or next(iter(find_by_identity(value=text)), None)
    if found is None and text.isdigit() and len(text) < 19:  # a bigint has at most 19 digits
        found = Profile.objects.living().filter(pk=int(text)).first()
    return found


def people_to_preview(*, segment_id: int | None) -> list[Profile]:
    """Return a few people whom the campaign addresses, to choose from."""
    people = Profile.objects.living().filter(marketing_ok=True)
    if segment_id is not None:
        people = people.filter(Exists(Membership.objects.filter(segment_id=segment_id, profile_id=OuterRef("pk"))))
    return list(people.order_by("pk")[:SHOWN])
