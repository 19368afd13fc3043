"""The people whom an item would suit best, as a segment: who they are is computed once and kept as a trait."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction

from marketing.choices import TraitType
from marketing.models import Segment
from marketing.segmentation.clock import to_micros
from marketing.services.membership import refresh_segment
from marketing.services.profiles import declare_trait
from marketing.services.segments import create_segment, free_slug
from marketing.services.traits import Statement, apply
from recommender.services.affinity import people_for_item

CHUNK = 1_000
MOST_PEOPLE = 100_000


@dataclass(frozen=True, slots=True)
class AffinityWish:
    """What was asked for."""

    item_id: str
    strategy: str
    people: int
    name: str


def create_affinity_segment(*, wish: AffinityWish, at: datetime, actor: User | None = None) -> Segment:
    """Make the segment and fill it; raises the recommender's errors where its model cannot say.

    Only people who agreed to personalization can be in it: the recommender knows no others. It does not follow what
    they do afterwards; make a new one for that.
    """
    found = people_for_item(item_id=wish.item_id, strategy=wish.strategy, at=at, limit=min(wish.people, MOST_PEOPLE))
    with transaction.atomic():
        slug = free_slug(wish.name)
        trait = declare_trait(key=f"affinity_{slug.replace('-', '_')}"[:64], name=wish.name, type_=TraitType.NUMBER)
        now = to_micros(at)
        for first in range(0, len(found), CHUNK):
            apply(
                statements=[
                    Statement(int(one.user_id), now, {trait.key: one.score}) for one in found[first : first + CHUNK]
                ],
                source_id=None,
            )
        rule = {"schema": 1, "root": {"trait": trait.key, "op": "is_set"}}
        segment = create_segment(slug=slug, name=wish.name, rule=rule, at=at, actor=actor)
        refresh_segment(segment_id=segment.pk, at=at)
    segment.refresh_from_db()
    return segment
