"""Whose are these messages? Identities of a whole batch, resolved and made in a handful of statements.

Rules, in this order; the batch is read in its own order:

1. A known identity belongs to its profile; an unknown one founds a new profile.
2. A message with two identities says that both are one person. An unknown one of them joins the other's profile;
   two known profiles are merged, and the profile of the user id wins.
3. Two profiles that hold *different* values of the same strong kind (user id, CRM id, address) are two people:
   nothing is merged, and the message counts for the user id. Only an `alias` from a trusted source may say otherwise.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from django.db import connection

from marketing.choices import STRONG_IDENTITY_KINDS, IdentityKind, MergeReason, SourceKind
from marketing.models import Identity, Profile
from marketing.services.allocation import insert_profiles
from marketing.services.bulk import insert_new, select_by
from marketing.services.identity import merge
from marketing.services.messages import IdentityKey, Message

_MAY_RENAME: Final = frozenset((SourceKind.SERVER, SourceKind.IMPORT, SourceKind.INTERNAL, SourceKind.DEMO))


@dataclass(frozen=True, slots=True)
class Person:
    identity_id: int
    profile_id: int


@dataclass(frozen=True, slots=True)
class People:
    """Who was found or made: by identity, and by profile for messages that name one."""

    by_key: dict[IdentityKey, Person]
    by_profile: dict[int, Person]
    created: int
    merged: int

    def of(self, message: Message) -> Person | None:
        """Return the person of a message; None only if it names a profile that is not there."""
        if message.identity is not None:
            return self.by_key[message.identity]
        assert message.profile_id is not None  # `parse` lets no message without both through
        return self.by_profile.get(message.profile_id)


def find(keys: Collection[IdentityKey]) -> dict[IdentityKey, Person]:
    """Return the identities among `keys` that exist."""
    by_kind: dict[str, set[str]] = {}
    for kind, value in keys:
        by_kind.setdefault(str(kind), set()).add(value)
    found = {}
    for kind, values in by_kind.items():
        rows = select_by(
            sql="SELECT value, id, profile_id FROM marketing_identity WHERE kind = %s AND value IN {values}",
            values=values,
            params=[kind],
        )
        for value, identity_id, profile_id in rows:
            found[kind, value] = Person(identity_id, profile_id)
    return found


def resolve(*, messages: Sequence[Message], source_kind: str, at: datetime) -> People:
    """Return the people of a batch; unknown ones are made, one person's profiles are merged."""
    plan = _Plan(trusted=source_kind in _MAY_RENAME)
    pairs = _pairs(messages)
    wanted = {message.identity for message in messages if message.identity is not None}
    wanted |= {key for message in messages for key in message.also}
    if plan.trusted:
        wanted |= {(IdentityKind.USER_ID, key[1]) for message in messages if message.is_alias for key in message.also}
    known = find(wanted)
    for key, person in known.items():
        plan.own(key, person.profile_id)
    joined = {plan.owner[key] for pair in pairs for key in (pair.one, pair.other) if key in plan.owner}
    plan.load_strong(joined)
    for pair in pairs:
        plan.join(pair)
    for message in messages:
        if message.identity is not None:
            plan.found(message.identity)
    created = _make(plan, known, is_demo=source_kind == SourceKind.DEMO, at=at)
    for winner, loser, reason in plan.merges:
        merge(winner_id=winner, loser_id=loser, reason=reason, at=at)
    if plan.merges or plan.owner.keys() - known.keys():
        known = find(wanted)
    return People(
        by_key=known,
        by_profile=_by_profile({m.profile_id for m in messages if m.identity is None and m.profile_id is not None}),
        created=created,
        merged=len(plan.merges),
    )


@dataclass(frozen=True, slots=True)
class _Pair:
    one: IdentityKey
    other: IdentityKey
    is_alias: bool


def _pairs(messages: Iterable[Message]) -> list[_Pair]:
    unique = {
        _Pair(message.identity, other, message.is_alias): None
        for message in messages
        if message.identity is not None
        for other in message.also
    }
    return list(unique)


@dataclass(slots=True)
class _Plan:
    """Who owns which identity after the batch; profiles still to be made have negative numbers."""

    trusted: bool
    owner: dict[IdentityKey, int] = field(default_factory=dict)
    keys: dict[int, list[IdentityKey]] = field(default_factory=dict)
    """The same the other way round."""
    strong: dict[int, set[IdentityKey]] = field(default_factory=dict)
    merges: list[tuple[int, int, MergeReason]] = field(default_factory=list)
    new: int = 0

    def load_strong(self, profiles: Collection[int]) -> None:
        rows = select_by(
            sql="SELECT profile_id, kind, value FROM marketing_identity WHERE profile_id IN {values}", values=profiles
        )
        for profile, kind, value in rows:
            if kind in STRONG_IDENTITY_KINDS:
                self.strong.setdefault(profile, set()).add((kind, value))

    def own(self, key: IdentityKey, profile: int) -> None:
        """Note the owner of an identity."""
        self.owner[key] = profile
        self.keys.setdefault(profile, []).append(key)

    def found(self, key: IdentityKey) -> int:
        """Return the owner of an identity; an unknown one founds a profile."""
        if key not in self.owner:
            self.new -= 1
            self._give(key, self.new)
        return self.owner[key]

    def join(self, pair: _Pair) -> None:
        other = pair.other
        if pair.is_alias and self.trusted and other not in self.owner:
            as_user = (str(IdentityKind.USER_ID), other[1])
            other = as_user if as_user in self.owner else other
        mine, theirs = self.owner.get(pair.one), self.owner.get(other)
        if theirs is None:
            self._give(other, self.found(pair.one))
        elif mine is None:
            stranger = self._conflict({pair.one}, self.strong.get(theirs, set()))
            self._give(pair.one, self.found(pair.one) if stranger else theirs)
        elif mine != theirs and (
            (pair.is_alias and self.trusted)
            or not self._conflict(self.strong.get(mine, set()), self.strong.get(theirs, set()))
        ):
            self._unite(mine, theirs, MergeReason.ALIAS if pair.is_alias else MergeReason.SIGN_IN)

    def _give(self, key: IdentityKey, profile: int) -> None:
        self.own(key, profile)
        if key[0] in STRONG_IDENTITY_KINDS:
            self.strong.setdefault(profile, set()).add(key)

    def _unite(self, winner: int, loser: int, reason: MergeReason) -> None:
        if loser > 0:
            if winner < 0:  # a profile that is not made yet cannot win against one that is
                winner, loser = loser, winner
            else:
                self.merges.append((winner, loser, reason))
        self.strong.setdefault(winner, set()).update(self.strong.pop(loser, set()))
        moved = self.keys.pop(loser, [])
        self.owner.update(dict.fromkeys(moved, winner))
        self.keys.setdefault(winner, []).extend(moved)

    @staticmethod
    def _conflict(one: set[IdentityKey], other: set[IdentityKey]) -> bool:
        return any(
            kind == other_kind and value != other_value for kind, value in one for other_kind, other_value in other
        )


def _make(plan: _Plan, known: dict[IdentityKey, Person], *, is_demo: bool, at: datetime) -> int:
    """Make the planned profiles and identities; return the number of profiles."""
    missing = {key: profile for key, profile in plan.owner.items() if key not in known}
    if not missing:
        return 0
    places = sorted({profile for profile in missing.values() if profile < 0}, reverse=True)
    made = dict(zip(places, insert_profiles(count=len(places), is_demo=is_demo, at=at), strict=True))
    stamp = connection.ops.adapt_datetimefield_value(at)
    rows = [
        (kind, value, made[profile] if profile < 0 else profile, stamp)
        for (kind, value), profile in sorted(missing.items())
    ]
    inserted = insert_new(
        model=Identity, columns=("kind", "value", "profile_id", "created_at"), rows=rows, key="kind || ':' || value"
    )
    if len(inserted) < len(rows):
        # Another process was faster with one of them: what we made for it belongs to nobody.
        Profile.objects.filter(pk__in=made.values(), identities__isnull=True).delete()
    return len(made)


def _by_profile(profiles: Collection[int]) -> dict[int, Person]:
    """Return the first identity of each profile; a merged profile counts for its winner."""
    rows = select_by(
        sql="SELECT p.id, COALESCE(p.merged_into_id, p.id), min(i.id) FROM marketing_profile p "
        "JOIN marketing_identity i ON i.profile_id = COALESCE(p.merged_into_id, p.id) "
        "WHERE p.id IN {values} GROUP BY p.id, COALESCE(p.merged_into_id, p.id)",
        values=profiles,
    )
    return {given: Person(identity, profile) for given, profile, identity in rows}
