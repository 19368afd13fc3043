"""Joining two profiles that turned out to be one person, and undoing it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from django.db import transaction

from experiments.services.dirty import mark_dirty
from marketing.choices import MembershipCause, MergeReason, TraitConflict
from marketing.errors import CannotMerge
from marketing.models import (
    Activity,
    Consent,
    Event,
    Identity,
    Membership,
    MembershipEvent,
    Merge,
    Profile,
    ProfileAlias,
    ProfileTrait,
)
from marketing.services.allocation import insert_profiles
from marketing.services.changes import mark_changed
from marketing.services.consent import refresh_marketing_ok
from marketing.services.news import forget_portrait, note_news
from marketing.services.summaries import rebuild_summaries
from marketing.services.traits import takes_place

MOVED_SCHEMA: Final = 1
FILLED_FROM_LOSER: Final = ("email", "country", "language", "timezone", "birth_year")


@transaction.atomic
def merge(*, winner_id: int, loser_id: int, reason: MergeReason, at: datetime) -> Merge:
    """Give everything of the loser to the winner; the ledger row keeps what `undo_merge` needs."""
    winner, loser = _locked(winner_id, loser_id)
    for profile in (winner, loser):
        if profile.merged_into_id is not None:
            raise CannotMerge(f"profile {profile.pk} has already been merged into {profile.merged_into_id}")
    moved: dict[str, Any] = {
        "schema": MOVED_SCHEMA,
        "identities": list(Identity.objects.filter(profile=loser).values_list("pk", flat=True)),
        "consents": list(Consent.objects.filter(profile=loser).values_list("pk", flat=True)),
        "aliases": list(ProfileAlias.objects.filter(winner=loser).values_list("loser_id", flat=True)),
        "traits": _merge_traits(winner, loser),
        "filled": _fill_blanks(winner, loser),
    }
    Identity.objects.filter(profile=loser).update(profile=winner)
    Event.objects.filter(profile=loser).update(profile=winner)
    Consent.objects.filter(profile=loser).update(profile=winner)
    _merge_activity(winner, loser)
    _leave_segments(loser, at)
    ProfileAlias.objects.filter(winner=loser).update(winner=winner)
    Profile.objects.filter(merged_into=loser).update(merged_into=winner)
    ProfileAlias.objects.create(loser=loser, winner=winner, from_at=at)
    Profile.objects.filter(pk=loser.pk).update(merged_into=winner)
    refresh_marketing_ok(profile_ids=[winner.pk])
    mark_dirty(units=[str(winner.pk), str(loser.pk)])
    mark_changed(profile_ids=[winner.pk, loser.pk], cause=MembershipCause.MERGE)
    note_news(profile_ids=[winner.pk, loser.pk])
    return Merge.objects.create(winner=winner, loser=loser, reason=reason, at=at, moved=moved)


@transaction.atomic
def undo_merge(*, merge_id: int, at: datetime) -> None:
    """Take the two apart again: each event goes with the identity that it carries."""
    row = Merge.objects.select_for_update().get(pk=merge_id)
    if row.undone_at is not None:
        raise CannotMerge(f"merge {merge_id} has already been undone")
    winner, loser = _locked(row.winner_id, row.loser_id)
    if winner.merged_into_id is not None or loser.merged_into_id != winner.pk:
        raise CannotMerge(f"undo the later merge of profile {winner.pk} first")
    moved = row.moved
    Profile.objects.filter(pk=loser.pk).update(merged_into=None)
    ProfileAlias.objects.filter(loser=loser).delete()
    ProfileAlias.objects.filter(loser__in=moved["aliases"], winner=winner).update(winner=loser)
    Profile.objects.filter(pk__in=moved["aliases"], merged_into=winner).update(merged_into=loser)
    Identity.objects.filter(pk__in=moved["identities"], profile=winner).update(profile=loser)
    Event.objects.filter(profile=winner, identity__in=moved["identities"]).update(profile=loser)
    Consent.objects.filter(pk__in=moved["consents"], profile=winner).update(profile=loser)
    _restore_traits(winner, loser, moved["traits"])
    _restore_blanks(winner, moved["filled"])
    rebuild_summaries(profile_ids=[winner.pk, loser.pk])
    refresh_marketing_ok(profile_ids=[winner.pk, loser.pk])
    mark_dirty(units=[str(winner.pk), str(loser.pk)])
    mark_changed(profile_ids=[winner.pk, loser.pk], cause=MembershipCause.MERGE)
    row.undone_at = at
    row.save(update_fields=["undone_at"])


@transaction.atomic
def split_identity(*, identity_id: int, at: datetime) -> Profile:
    """Give one identity a profile of its own, and its events with it: a device that was shared, after all."""
    identity = Identity.objects.select_for_update().get(pk=identity_id)
    old_id = identity.profile_id
    if not Identity.objects.filter(profile=old_id).exclude(pk=identity.pk).exists():
        raise CannotMerge(f"{identity} is its profile's only identity")
    old = Profile.objects.get(pk=old_id)
    (new_id,) = insert_profiles(count=1, is_demo=old.is_demo, at=at)
    Identity.objects.filter(pk=identity.pk).update(profile_id=new_id)
    Event.objects.filter(profile=old_id, identity=identity).update(profile_id=new_id)
    rebuild_summaries(profile_ids=[old_id, new_id])
    mark_dirty(units=[str(old_id), str(new_id)])
    mark_changed(profile_ids=[old_id, new_id], cause=MembershipCause.MERGE)
    return Profile.objects.get(pk=new_id)


def _locked(winner_id: int, loser_id: int) -> tuple[Profile, Profile]:
    if winner_id == loser_id:
        raise CannotMerge(f"profile {winner_id} cannot be merged with itself")
    # Always in the order of the keys, so that two merges of the same pair cannot wait for each other.
    rows = Profile.objects.select_for_update().filter(pk__in=(winner_id, loser_id)).order_by("pk")
    found = {profile.pk: profile for profile in rows}
    missing = {winner_id, loser_id} - found.keys()
    if missing:
        raise CannotMerge(f"there is no profile {min(missing)}")
    return found[winner_id], found[loser_id]


def _merge_activity(winner: Profile, loser: Profile) -> None:
    theirs = {row.type_id: row for row in Activity.objects.filter(profile=loser)}
    for mine in Activity.objects.filter(profile=winner, type__in=theirs):
        other = theirs.pop(mine.type_id)
        mine.n += other.n
        mine.first_at = min(mine.first_at, other.first_at)
        mine.last_at = max(mine.last_at, other.last_at)
        mine.total += other.total
        mine.save(update_fields=["n", "first_at", "last_at", "total"])
        other.delete()
    Activity.objects.filter(profile=loser).update(profile=winner)


def _leave_segments(loser: Profile, at: datetime) -> None:
    left = Membership.objects.filter(profile=loser)
    MembershipEvent.objects.bulk_create(
        MembershipEvent(segment_id=segment, profile=loser, change=-1, at=at, cause=MembershipCause.MERGE)
        for segment in left.values_list("segment_id", flat=True)
    )
    left.delete()


def _fill_blanks(winner: Profile, loser: Profile) -> dict[str, Any]:
    """Take what the winner lacks; return what was taken, for the undo. Counters add up."""
    filled = {name: getattr(loser, name) for name in FILLED_FROM_LOSER if _is_blank(winner, name)}
    filled = {name: value for name, value in filled.items() if value not in ("", None)}
    winner.first_seen_at = _least(winner.first_seen_at, loser.first_seen_at)
    winner.last_seen_at = _most(winner.last_seen_at, loser.last_seen_at)
    winner.orders_n += loser.orders_n
    winner.revenue += loser.revenue
    for name, value in filled.items():
        setattr(winner, name, value)
    winner.save(update_fields=["first_seen_at", "last_seen_at", "orders_n", "revenue", *filled])
    return filled


def _restore_blanks(winner: Profile, filled: dict[str, Any]) -> None:
    """Blank what came from the loser, unless somebody has stated something else since."""
    back = {name: None if name == "birth_year" else "" for name in filled if getattr(winner, name) == filled[name]}
    if back:
        Profile.objects.filter(pk=winner.pk).update(**back)


def _is_blank(profile: Profile, name: str) -> bool:
    return getattr(profile, name) in ("", None)


def _least(one: int | None, other: int | None) -> int | None:
    return one if other is None else other if one is None else min(one, other)


def _most(one: int | None, other: int | None) -> int | None:
    return one if other is None else other if one is None else max(one, other)


def _merge_traits(winner: Profile, loser: Profile) -> list[dict[str, Any]]:
    """The value stays that the trait's rule names; both are returned for the undo. What is computed is counted anew."""
    forget_portrait(profile_ids=[loser.pk])
    mine = {row.definition_id: row for row in ProfileTrait.objects.filter(profile=winner).select_related("source")}
    kept = []
    for other in ProfileTrait.objects.filter(profile=loser).select_related("definition", "source"):
        own = mine.get(other.definition_id)
        kept.append(
            {
                "definition": other.definition_id,
                "loser": _trait_values(other),
                "winner": None if own is None else _trait_values(own),
            }
        )
        if own is None:
            ProfileTrait.objects.filter(pk=other.pk).update(profile=winner)
            continue
        if takes_place(other, own, TraitConflict(other.definition.conflict)):
            ProfileTrait.objects.filter(pk=own.pk).update(**_trait_values(other))
        other.delete()
    return kept


def _restore_traits(winner: Profile, loser: Profile, kept: list[dict[str, Any]]) -> None:
    for row in kept:
        own = ProfileTrait.objects.filter(profile=winner, definition=row["definition"])
        # Newer than anything that the merge knew: it was stated of the joined person, and stays with the winner.
        known_at = max(row["loser"]["at"], row["winner"]["at"] if row["winner"] else 0)
        if not own.filter(at__gt=known_at).exists():
            if row["winner"] is None:
                own.delete()
            else:
                own.update(**row["winner"])
        ProfileTrait.objects.create(profile=loser, definition_id=row["definition"], **row["loser"])


def _trait_values(row: ProfileTrait) -> dict[str, Any]:
    return {"number": row.number, "text": row.text, "at": row.at, "source_id": row.source_id}
