"""Traits of profiles: checked against their type; which statement stays does not depend on the order of arrival.

It is the newest one, or what the trait's rule says: the oldest, or that of the source of the highest rank.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from django.db import connection

from marketing.choices import TraitConflict, TraitOrigin, TraitType
from marketing.errors import BadTrait
from marketing.models import Profile, ProfileTrait, TraitDefinition
from marketing.services.bulk import staged
from marketing.services.changes import mark_changed
from marketing.services.news import note_news

EPOCH_DAY: Final = date(1970, 1, 1)
LONGEST_TEXT: Final = 255
_EMAIL: Final = re.compile(r"[^@\s<>\"',;]{1,64}@[^@\s<>\"',;]{1,189}\.[^@\s<>\"',;.]{1,63}")
_COUNTRY: Final = re.compile(r"[A-Za-z]{2}")
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})?")
_ZONE: Final = re.compile(r"[A-Za-z0-9_+\-/]{1,64}")

TYPED: Final = ("email", "country", "language", "timezone", "birth_year")
# What other platforms call them.
SYNONYMS: Final = {"locale": "language", "timeZone": "timezone", "birthYear": "birth_year"}

TYPED_COLUMNS: Final = {
    "profile_id": "bigint",
    "email": "text",
    "country": "text",
    "language": "text",
    "timezone": "text",
    "birth_year": "smallint",
    "traits_at": "bigint",
}
TRAIT_COLUMNS: Final = {
    "profile_id": "bigint",
    "definition_id": "bigint",
    "number": "double precision",
    "text": "text",
    "at": "bigint",
    "source_id": "bigint",
}


_RANK: Final = "SELECT COALESCE(max(r.rank), 0) FROM marketing_source r WHERE r.id = {row}.source_id"
_STAYS: Final = {
    TraitConflict.NEWEST: "{new}.at >= {old}.at",
    TraitConflict.OLDEST: "{new}.at < {old}.at",
    TraitConflict.RANK: f"(({_RANK.format(row='{new}')}), {{new}}.at) >= (({_RANK.format(row='{old}')}), {{old}}.at)",
}
"""When a new statement takes the place of the old one. A source without a row, or none, has the rank 0."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What was said of one profile at one moment (microseconds)."""

    profile_id: int
    at: int
    traits: Mapping[str, Any]


def apply(*, statements: Sequence[Statement], source_id: int | None) -> Counter[str]:
    """Store the traits; return how often each name was left out (undeclared, or a value that does not fit)."""
    ignored: Counter[str] = Counter()
    if not statements:
        return ignored
    # What is computed nobody states.
    definitions = {row.key: row for row in TraitDefinition.objects.filter(origin=TraitOrigin.DECLARED)}
    typed: list[tuple[int, int, dict[str, Any]]] = []
    custom: dict[TraitConflict, dict[tuple[int, int], tuple[Any, ...]]] = {}
    # Oldest first: later statements of the same batch overwrite, where they may; their source is the same.
    for one in sorted(statements, key=lambda row: row.at):
        known: dict[str, Any] = {}
        for key, value in _flat(one.traits):
            if value is None:
                continue
            try:
                if key in TYPED:
                    known[key] = clean_typed(key, value)
                elif key in definitions:
                    number, text = clean_custom(definitions[key], value)
                    row = (number, text, one.at, source_id)
                    _remember(custom, definition=definitions[key], profile_id=one.profile_id, row=row)
                else:
                    ignored[key] += 1
            except BadTrait:
                ignored[key] += 1
        if known:
            typed.append((one.profile_id, one.at, known))
    _store_typed(typed)
    for conflict, rows in custom.items():
        _store_custom(rows, conflict)
    changed = {*(row[0] for row in typed), *(profile_id for rows in custom.values() for profile_id, _ in rows)}
    mark_changed(profile_ids=changed)
    note_news(profile_ids=changed)
    return ignored


def _remember(
    custom: dict[TraitConflict, dict[tuple[int, int], tuple[Any, ...]]],
    *,
    definition: TraitDefinition,
    profile_id: int,
    row: tuple[Any, ...],
) -> None:
    """Keep what a batch says, under the trait's rule; the oldest comes first."""
    conflict = TraitConflict(definition.conflict)
    rows, place = custom.setdefault(conflict, {}), (profile_id, definition.pk)
    if conflict != TraitConflict.OLDEST or place not in rows:
        rows[place] = row


def _flat(traits: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The traits under our names; Segment nests the country in `address`."""
    address = traits.get("address")
    if isinstance(address, Mapping) and "country" in address and "country" not in traits:
        traits = {**traits, "country": address["country"]}
    return [(SYNONYMS.get(key, key), value) for key, value in traits.items() if key != "address"]


def clean_typed(key: str, value: Any) -> Any:
    """Return the value of a system trait as it is kept."""
    if key == "birth_year":
        number = _number(key, value)
        if not (1850 <= number <= 2200 and number == int(number)):
            raise BadTrait(f"birth_year must be a year, got {value!r}")
        return int(number)
    text = str(value).strip()
    patterns = {"email": _EMAIL, "country": _COUNTRY, "language": _LANGUAGE, "timezone": _ZONE}
    if not patterns[key].fullmatch(text):
        raise BadTrait(f"{key} has an unknown form")
    if key == "email":
        return text.lower()
    return text.upper() if key == "country" else text.replace("_", "-") if key == "language" else text


def clean_custom(definition: TraitDefinition, value: Any) -> tuple[float | None, str | None]:
    """Return (number, text), one of which is None, as a declared trait is kept."""
    if definition.type == TraitType.TEXT:
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise BadTrait(f"{definition.key} must be a text")
        text = str(value).strip()[:LONGEST_TEXT]
        if not text or (definition.allowed_values and text not in definition.allowed_values):
            raise BadTrait(f"{definition.key} must be one of the allowed values")
        return None, text
    if definition.type == TraitType.BOOLEAN:
        return float(truth(definition.key, value)), None
    if definition.type == TraitType.DATE:
        return float(day_number(definition.key, value)), None
    return _number(definition.key, value), None


def day_number(key: str, value: Any) -> int:
    """Return a date (ISO 8601) as days since 1970."""
    try:
        return (date.fromisoformat(str(value)[:10]) - EPOCH_DAY).days
    except ValueError as error:
        raise BadTrait(f"{key} must be a date like 2026-11-24") from error


def truth(key: str, value: Any) -> bool:
    """Return a yes or no however it is written."""
    known = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    text = str(value).strip().lower()
    if text not in known:
        raise BadTrait(f"{key} must be yes or no")
    return known[text]


def _number(key: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadTrait(f"{key} must be a number") from error
    if isinstance(value, bool) or not math.isfinite(number):
        raise BadTrait(f"{key} must be a number")
    return number


def _store_typed(typed: Sequence[tuple[int, int, dict[str, Any]]]) -> None:
    """Set the columns on profiles: a newer statement overwrites, an older one fills blanks."""
    if not typed:
        return
    ids = {profile_id for profile_id, _, _ in typed}
    # In the order of the keys, so that two ingestions cannot wait for each other in a circle.
    current = {row.pk: row for row in Profile.objects.select_for_update().filter(pk__in=ids).order_by("pk")}
    rows: dict[int, list[Any]] = {}
    for profile_id, at, known in typed:
        profile = current[profile_id]
        row = rows.setdefault(profile_id, [*(getattr(profile, key) for key in TYPED), profile.traits_at])
        is_newer = row[-1] is None or at >= row[-1]
        for position, key in enumerate(TYPED):
            if key in known and (is_newer or row[position] in ("", None)):
                row[position] = known[key]
        row[-1] = at if is_newer else row[-1]
    values = [(profile_id, *row) for profile_id, row in sorted(rows.items())]
    with staged(name="typed", columns=TYPED_COLUMNS, rows=values) as stage, connection.cursor() as cursor:
        columns = ", ".join(f"{name} = s.{name}" for name in (*TYPED, "traits_at"))
        cursor.execute(
            f"UPDATE marketing_profile SET {columns} FROM {stage} s "  # noqa: S608 - constants
            "WHERE s.profile_id = marketing_profile.id"
        )


def takes_place(new: ProfileTrait, old: ProfileTrait, conflict: TraitConflict) -> bool:
    """Tell whether one value of a trait takes the place of another, as it does in the database when it is stated."""
    if conflict == TraitConflict.OLDEST:
        return new.at < old.at
    if conflict == TraitConflict.NEWEST:
        return new.at > old.at
    ranks = [row.source.rank if row.source else 0 for row in (new, old)]
    return (ranks[0], new.at) > (ranks[1], old.at)


def _store_custom(custom: Mapping[tuple[int, int], tuple[Any, ...]], conflict: TraitConflict) -> None:
    stays = _STAYS[conflict].format(new="excluded", old="marketing_profiletrait")
    rows = [(*key, *values) for key, values in sorted(custom.items())]
    names = ", ".join(TRAIT_COLUMNS)
    with staged(name="trait", columns=TRAIT_COLUMNS, rows=rows) as stage, connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO marketing_profiletrait ({names}) SELECT {names} FROM {stage} WHERE true "  # noqa: S608 - constants
            "ON CONFLICT (profile_id, definition_id) DO UPDATE SET number = excluded.number, text = excluded.text, "
            f"at = excluded.at, source_id = excluded.source_id WHERE {stays}"
        )
