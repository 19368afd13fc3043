"""Computed values into the traits: only what differs from what is stored is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, Final

import numpy as np
from django.db import connection, transaction
from numpy.typing import NDArray

from marketing.portrait.behavior import NONE, Texts
from marketing.services.bulk import is_postgres, staged
from marketing.services.portrait.reading import Some, streamed

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Column = Floats | Texts

SLICE: Final = 50_000  # rows in a transaction: on SQLite nobody else writes meanwhile
TABLE: Final = "marketing_profiletrait"
COLUMNS: Final = ("profile_id", "definition_id", "number", "text", "at", "source_id")
KEY_TYPES: Final = {"profile_id": "bigint", "definition_id": "bigint"}
VALUE_TYPES: Final = {**KEY_TYPES, "number": "double precision", "text": "text", "at": "bigint"}
UNKNOWN: Final = -2
"""A stored text that is no name of the new column."""


@dataclass(slots=True)
class Changes:
    """What differs: rows to insert, to update and to delete, by the keys of profile and definition."""

    added: list[tuple[Any, ...]] = field(default_factory=list)
    updated: list[tuple[Any, ...]] = field(default_factory=list)
    removed: list[tuple[int, int]] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.added) + len(self.updated) + len(self.removed)

    @property
    def people(self) -> set[int]:
        return {row[0] for rows in (self.added, self.updated, self.removed) for row in rows}


@dataclass(frozen=True, slots=True)
class Stamp:
    """Which source says the values, and as of when (microseconds)."""

    source_id: int
    at: int


def compare(*, people: Ints, columns: Mapping[int, Column], stored: Mapping[int, Stored], stamp: Stamp) -> Changes:
    """Return what differs between the new columns, by definition, and what is stored of these people."""
    changes = Changes()
    nothing = Stored([], [])
    for definition, column in columns.items():
        places, values, strangers = stored.get(definition, nothing).places(people)
        if isinstance(column, Texts):
            old = np.full(people.size, NONE, dtype=np.int64)
            codes = {name: code for code, name in enumerate(column.names)}
            old[places] = [codes.get(value, UNKNOWN) for value in values]
            was, now, differs = old != NONE, column.codes != NONE, column.codes != old
        else:
            before = np.full(people.size, np.nan)
            before[places] = values
            was, now, differs = ~np.isnan(before), ~np.isnan(column), column != before
        for rows, mask in ((changes.added, now & ~was), (changes.updated, now & was & differs)):
            rows.extend(_rows(people[mask], definition, column, mask, stamp))
        changes.removed.extend((pk, definition) for pk in people[was & ~now].tolist() + strangers)
    return changes


def _rows(people: Ints, definition: int, column: Column, mask: NDArray[np.bool_], stamp: Stamp) -> Iterator[Any]:
    """The rows to store of the marked people, in the order of COLUMNS."""
    ends = (repeat(stamp.at), repeat(stamp.source_id))
    if isinstance(column, Texts):
        texts = [column.names[code] for code in column.codes[mask].tolist()]
        return zip(people.tolist(), repeat(definition), repeat(None), texts, *ends)
    return zip(people.tolist(), repeat(definition), column[mask].tolist(), repeat(None), *ends)


@dataclass(slots=True)
class Stored:
    """The values of one definition that are stored: whose, and what."""

    people: list[int]
    values: list[Any]

    def places(self, people: Ints) -> tuple[Ints, list[Any], list[int]]:
        """Return where the stored values belong, them, and whose values belong to nobody among the people."""
        ids = np.array(self.people, dtype=np.int64)
        places = np.searchsorted(people, ids)
        if not people.size:
            return places[:0], [], self.people
        known = people[np.minimum(places, people.size - 1)] == ids
        values = (
            self.values
            if known.all()
            else [value for value, kept in zip(self.values, known.tolist(), strict=True) if kept]
        )
        return places[known], values, ids[~known].tolist()


def read_stored(*, some: Some, definitions: Sequence[int]) -> dict[int, Stored]:
    """Return what is stored of some people, by definition."""
    if not definitions:
        return {}
    where, params = some.among("t.profile_id")
    listed = ", ".join(str(int(one)) for one in definitions)
    found: dict[int, Stored] = {}
    columns = "t.profile_id, t.definition_id, t.number, t.text"
    sql = f"SELECT {columns} FROM {TABLE} t WHERE {where} AND t.definition_id IN ({listed})"  # noqa: S608 - numbers
    with streamed(sql, params) as lists:
        for rows in lists:
            for profile_id, definition_id, number, text in rows:
                one = found.get(definition_id)
                if one is None:
                    one = found[definition_id] = Stored([], [])
                one.people.append(profile_id)
                one.values.append(number if text is None else text)
    return found


def read_column(*, definition: int, is_text: bool) -> Stored:
    """Return what is stored of one definition, from its index alone."""
    name = "text" if is_text else "number"
    one = Stored([], [])
    sql = f"SELECT t.profile_id, t.{name} FROM {TABLE} t WHERE t.definition_id = %s AND t.{name} IS NOT NULL"  # noqa: S608 - constants
    with streamed(sql, [definition]) as lists:
        for rows in lists:
            for profile_id, value in rows:
                one.people.append(profile_id)
                one.values.append(value)
    return one


def store(changes: Changes) -> None:
    """Write the changes, a slice in each transaction; a slice that is lost is found again by the next comparison."""
    for keys in _slices(changes.removed):
        _with_stage("gone", KEY_TYPES, keys, _DELETE)
    for rows in _slices(changes.updated):
        _with_stage("moved", VALUE_TYPES, [row[:5] for row in rows], _UPDATE)
    for rows in _slices(changes.added):
        with transaction.atomic():
            _insert(rows)


_SAME: Final = f"s.profile_id = {TABLE}.profile_id AND s.definition_id = {TABLE}.definition_id"
_UPDATE: Final = f"UPDATE {TABLE} SET number = s.number, text = s.text, at = s.at FROM {{stage}} s WHERE {_SAME}"  # noqa: S608
_DELETE: Final = (
    f"DELETE FROM {TABLE} WHERE id IN (SELECT t.id FROM {{stage}} s JOIN {TABLE} t "  # noqa: S608 - constants
    "ON t.profile_id = s.profile_id AND t.definition_id = s.definition_id)"
)


def _slices(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(rows), SLICE):
        yield rows[start : start + SLICE]


@transaction.atomic
def _with_stage(name: str, types: Mapping[str, str], rows: Sequence[Any], sql: str) -> None:
    with staged(name=name, columns=types, rows=rows) as stage, connection.cursor() as cursor:
        cursor.execute(sql.format(stage=stage))


def _insert(rows: Sequence[tuple[Any, ...]]) -> None:
    names = ", ".join(COLUMNS)
    with connection.cursor() as cursor:
        if is_postgres():
            # Lines of text: half the work of giving each value to the driver.
            with cursor.copy(f"COPY {TABLE} ({names}) FROM STDIN") as copy:
                copy.write("".join(map(_line, rows)))
        else:
            places = ", ".join(["%s"] * len(COLUMNS))
            cursor.executemany(f"INSERT INTO {TABLE} ({names}) VALUES ({places})", rows)  # noqa: S608 - constants


_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def _line(row: tuple[Any, ...]) -> str:
    profile_id, definition, number, text, at, source = row
    value = f"{number!r}\t\\N" if text is None else f"\\N\t{text.translate(_ESCAPES)}"
    return f"{profile_id}\t{definition}\t{value}\t{at}\t{source}\n"
