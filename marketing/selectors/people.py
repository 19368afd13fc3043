"""The profiles as experiments see them: their attributes, how many a rule addresses, and where campaigns reach them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from django.db import connection

from experiments.ports import Known, Place, targeting
from experiments.selectors import get_config, unit_types
from marketing.models import Campaign, Membership, Profile, ProfileAlias, ProfileTrait
from marketing.segmentation.compiler import Condition, Dialect
from marketing.segmentation.targeting import attributes_of, compile_targeting, exposed_traits
from marketing.selectors.segments import trait_specs, vocabulary

UNIT_TYPE: Final = "profile"
LONGEST_NUMBER: Final = 18
"""Digits that every database takes as the number of a row."""


class ProfilePeople:
    """Implements `experiments.ports.People` over living profiles."""

    def count(self, *, experiments: Sequence[tuple[str, targeting.Rule]]) -> int | None:
        """Return how many profiles all of the experiments address by rule and by campaign; None for other units."""
        keys = [key for key, _ in experiments]
        if set(unit_types(experiment_keys=keys).values()) != {UNIT_TYPE}:
            return None
        conditions = [targeted(rule) for _, rule in experiments]
        segments = Campaign.objects.filter(experiment_key__in=keys, segment__isnull=False)
        for segment_id in segments.order_by("pk").values_list("segment_id", flat=True):
            members = "p.id IN (SELECT m.profile_id FROM marketing_membership m WHERE m.segment_id = %s)"
            conditions.append(Condition(members, (segment_id,)))
        where = " AND ".join(f"({condition.sql})" for condition in conditions)
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT COUNT(*) FROM marketing_profile p WHERE p.merged_into_id IS NULL AND {where}",  # noqa: S608
                [value for condition in conditions for value in condition.params],
            )
            return int(cursor.fetchone()[0])

    def known(self, *, unit_type: str, unit_id: str) -> Known:
        """Return a profile's attributes and the numbers of those merged into it."""
        if unit_type != UNIT_TYPE or not unit_id.isdecimal() or len(unit_id) > LONGEST_NUMBER:
            return Known({})
        profile_id = int(unit_id)
        losers = ProfileAlias.objects.filter(winner_id=profile_id).order_by("pk").values_list("loser_id", flat=True)
        return Known(list_attributes(profile_ids=[profile_id]).get(profile_id, {}), tuple(map(str, losers)))

    def places(self, *, experiment_keys: Sequence[str]) -> Mapping[str, Place]:
        """Return where the campaigns of these experiments reach people."""
        campaigns = Campaign.objects.filter(experiment_key__in=experiment_keys).order_by("pk")
        return {campaign.experiment_key: place_of(campaign) for campaign in campaigns}


def place_of(campaign: Campaign) -> Place:
    """Return where and when a campaign reaches people."""
    return Place(
        kind=campaign.kind,
        label=campaign.get_kind_display(),
        name=campaign.slug,
        starts_at=campaign.starts_at or campaign.launched_at,
        ends_at=campaign.finished_at or campaign.ends_at,
    )


def targeted(rule: targeting.Rule) -> Condition:
    """Return the rule as a condition on `marketing_profile p` in this database's dialect."""
    dialect: Dialect = "sqlite" if connection.vendor == "sqlite" else "postgresql"
    return compile_targeting(rule, vocabulary=vocabulary(), dialect=dialect)


def read_attributes(*, experiment_key: str, profile_ids: Collection[int]) -> dict[int, dict[str, Any]]:
    """Return what this experiment's rules, and those of its prerequisites, ask of the profiles.

    Nothing is read of anybody where no rule asks.
    """
    config = get_config(experiment_key=experiment_key)
    return list_attributes(profile_ids=profile_ids) if config is not None and config.reads else {}


def read_columns(*, experiment_key: str, profile_ids: Sequence[int]) -> dict[str, list[Any]]:
    """Return `read_attributes` as `assign_many` takes them: one column per attribute, in the order of the profiles."""
    found = read_attributes(experiment_key=experiment_key, profile_ids=profile_ids)
    names = sorted({name for attributes in found.values() for name in attributes})
    return {name: [found.get(profile_id, {}).get(name) for profile_id in profile_ids] for name in names}


def list_attributes(*, profile_ids: Collection[int]) -> dict[int, dict[str, Any]]:
    """Return what targeting rules can ask of these profiles, by profile, in four queries."""
    specs = exposed_traits(trait_specs())
    traits: dict[int, dict[int, Any]] = {}
    for row in ProfileTrait.objects.filter(profile__in=profile_ids).values_list(
        "profile_id", "definition_id", "number", "text"
    ):
        profile_id, definition_id, number, text = row
        traits.setdefault(profile_id, {})[definition_id] = number if text is None else text
    segments: dict[int, list[str]] = {}
    for profile_id, slug in Membership.objects.filter(profile__in=profile_ids).values_list(
        "profile_id", "segment__slug"
    ):
        segments.setdefault(profile_id, []).append(slug)
    columns = sorted({spec.column for spec in specs.values() if spec.column})
    return {
        row["pk"]: attributes_of(
            row, specs=specs, traits=traits.get(row["pk"], {}), segments=segments.get(row["pk"], ())
        )
        for row in Profile.objects.filter(pk__in=profile_ids).order_by("pk").values("pk", *columns)
    }
