"""Whose statement of a trait stays where sources disagree, or where two people are merged who said different things."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations

import pytest

from marketing.choices import MergeReason, TraitConflict, TraitType
from marketing.models import Profile, ProfileTrait, Source
from marketing.segmentation.clock import to_micros
from marketing.services.identity import merge, undo_merge
from marketing.services.portrait.definitions import define_trait
from marketing.services.traits import Statement, apply
from tests.factories.marketing import NOW, make_profile, make_source

pytestmark = pytest.mark.django_db
# What is said of one person: source, days ago, value.
SAID = (("crm", 3, "L"), ("shop", 2, "M"), ("file", 1, "S"), ("crm", 4, "XL"))


@pytest.fixture
def sources() -> dict[str, Source]:
    """The CRM outranks the shop, the shop the files."""
    ranks = {"crm": 2, "shop": 1, "file": 0}
    for name, rank in ranks.items():
        Source.objects.filter(pk=make_source(name).pk).update(rank=rank)
    return {name: Source.objects.get(name=name) for name in ranks}


def say(profile: Profile, source: Source | None, days: int, value: str) -> None:
    at = to_micros(NOW - timedelta(days=days))
    apply(statements=[Statement(profile.pk, at, {"size": value})], source_id=source.pk if source else None)


def size(profile: Profile) -> tuple[str | None, str]:
    row = ProfileTrait.objects.select_related("source").get(profile=profile)
    return row.text, row.source.name if row.source else ""


RULES = [
    (TraitConflict.NEWEST, ("S", "file")),
    (TraitConflict.OLDEST, ("XL", "crm")),
    (TraitConflict.RANK, ("L", "crm")),
]


@pytest.mark.parametrize(("conflict", "expected"), RULES)
def test_apply__sources_disagree__the_rule_decides_whatever_the_order(
    conflict: TraitConflict, expected: tuple[str, str], sources: dict[str, Source]
) -> None:
    define_trait(key="size", name="Size", at=NOW, conflict=conflict)
    for order in permutations(SAID):
        ann = make_profile()
        for source, days, value in order:
            say(ann, sources[source], days, value)
        assert size(ann) == expected


@pytest.mark.parametrize(("conflict", "expected"), [(TraitConflict.NEWEST, "new"), (TraitConflict.OLDEST, "old")])
def test_apply__one_batch_says_both__the_rule_decides(conflict: TraitConflict, expected: str) -> None:
    define_trait(key="size", name="Size", at=NOW, conflict=conflict)
    ann = make_profile()
    now = to_micros(NOW)

    apply(
        statements=[Statement(ann.pk, now, {"size": "new"}), Statement(ann.pk, now - 1, {"size": "old"})],
        source_id=None,
    )

    assert size(ann)[0] == expected


def test_apply__no_source__ranks_last(sources: dict[str, Source]) -> None:
    define_trait(key="size", name="Size", at=NOW, conflict=TraitConflict.RANK)
    ann = make_profile()
    say(ann, sources["shop"], 9, "M")
    say(ann, None, 1, "S")

    assert size(ann) == ("M", "shop")


@pytest.mark.parametrize(("conflict", "expected"), RULES)
def test_merge__people_said_different_things__the_same_rule_decides_and_the_undo_knows_both(
    conflict: TraitConflict, expected: tuple[str, str], sources: dict[str, Source]
) -> None:
    define_trait(key="size", name="Size", at=NOW, conflict=conflict)
    for first in range(1, len(SAID)):
        ann, bob = make_profile(), make_profile()
        for profile, said in ((ann, SAID[:first]), (bob, SAID[first:])):
            for source, days, value in said:
                say(profile, sources[source], days, value)
        before = size(ann), size(bob)

        done = merge(winner_id=ann.pk, loser_id=bob.pk, reason=MergeReason.MANUAL, at=NOW)

        assert size(ann) == expected
        undo_merge(merge_id=done.pk, at=NOW)
        assert (size(ann), size(bob)) == before


def test_define_trait__number__keeps_its_rule() -> None:
    made = define_trait(key="shoes", name="Shoes", at=NOW, type_=TraitType.NUMBER, conflict=TraitConflict.OLDEST)
    made.refresh_from_db()
    assert made.conflict == "oldest"
