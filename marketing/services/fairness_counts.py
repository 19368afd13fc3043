"""What a fairness report counts: the people who were reached, in a session table, by the values of their traits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from django.db import connection, transaction
from django.utils.translation import gettext as _

from marketing.choices import TraitType
from marketing.models import EventType, TraitDefinition
from marketing.segmentation.clock import to_micros
from marketing.services.bulk import staged

WINDOW: Final = timedelta(days=7)
"""A conversion is an order so long after the first exposure, as the built-in metric has it."""
LOOKBACK: Final = timedelta(days=30)
"""A segment's people have converted who ordered in so long a time before the report."""
ORDER: Final = "Order Completed"
MOST_VALUES: Final = 12
BATCH: Final = 5_000
COLUMNS: Final = {"profile_id": "bigint", "arm": "text", "first_at": "bigint"}
REACHED: Final = "fairness_reached"


@dataclass(frozen=True, slots=True)
class Cell:
    """What is counted of one group and arm."""

    people: int
    reached: int
    converted: int


@contextmanager
def reached(rows: Iterator[tuple[int, str, int]]) -> Iterator[None]:
    """Keep (profile, arm, first exposure) for the block, in one transaction; memory does not grow with them."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE TEMP TABLE {REACHED} (profile_id bigint PRIMARY KEY, arm text, first_at bigint)")
        while chunk := list(islice(rows, BATCH)):
            with staged(name="fairness", columns=COLUMNS, rows=chunk) as table, connection.cursor() as cursor:
                # A merged profile counts for its winner, once.
                cursor.execute(
                    f"INSERT INTO {REACHED} SELECT COALESCE(p.merged_into_id, p.id), s.arm, s.first_at "  # noqa: S608 - constants
                    f"FROM {table} s JOIN marketing_profile p ON p.id = s.profile_id WHERE true "
                    "ON CONFLICT DO NOTHING"
                )
        yield
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE {REACHED}")


def addressed(segment_id: int | None) -> str:
    """Who could have been reached: the segment's members of today and whoever was reached; without one everybody."""
    living = "p.merged_into_id IS NULL"
    if segment_id is None:
        return living
    members = "SELECT m.profile_id FROM marketing_membership m WHERE m.segment_id ="
    return f"{living} AND (p.id IN ({members} {segment_id:d}) OR p.id IN (SELECT profile_id FROM {REACHED}))"  # noqa: S608


def counted(
    traits: Sequence[TraitDefinition], *, people: str, at: datetime | None
) -> dict[tuple[tuple[str, ...], str], Cell]:
    """Count people, reached and converted by the groups' labels and by arm, in one statement."""
    labels = [label_of(trait, f"t{place}") for place, trait in enumerate(traits)]
    columns = ", ".join(sql for sql, _params in labels)
    joins = " ".join(
        f"LEFT JOIN marketing_profiletrait t{place} "
        f"ON t{place}.profile_id = p.id AND t{place}.definition_id = {trait.pk:d}"
        for place, trait in enumerate(traits)
    )
    order = EventType.objects.filter(name=ORDER).values_list("pk", flat=True).first() or 0
    if at is None:
        window = f"e.at >= r.first_at AND e.at < r.first_at + {WINDOW // timedelta(microseconds=1):d}"
    else:
        window = f"e.at >= {to_micros(at - LOOKBACK):d} AND e.at < {to_micros(at):d}"
    bought = (
        "EXISTS (SELECT 1 FROM marketing_event e WHERE e.profile_id = p.id "  # noqa: S608 - numbers of our own
        f"AND e.type_id = {order:d} AND {window})"
    )
    places = ", ".join(str(place + 1) for place in range(len(traits) + 1))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {columns}, COALESCE(r.arm, ''), count(*), "  # noqa: S608 - compiled from constants and numbers
            "sum(CASE WHEN r.profile_id IS NULL THEN 0 ELSE 1 END), "
            f"sum(CASE WHEN r.profile_id IS NOT NULL AND {bought} THEN 1 ELSE 0 END) "
            f"FROM marketing_profile p LEFT JOIN {REACHED} r ON r.profile_id = p.id {joins} "
            f"WHERE {people} GROUP BY {places}",
            [value for _sql, params in labels for value in params],
        )
        size = len(traits)
        return {
            (tuple(map(str, row[:size])), str(row[size])): Cell(int(row[-3]), int(row[-2]), int(row[-1]))
            for row in cursor.fetchall()
        }


def label_of(trait: TraitDefinition, alias: str) -> tuple[str, list[str | float]]:
    """A trait's value as the name of a group; numbers of many values in four groups of about the same size."""
    unknown = _("not known")
    if trait.type == TraitType.TEXT:
        return f"COALESCE({alias}.text, %s)", [unknown]
    if trait.type == TraitType.BOOLEAN:
        return f"CASE {alias}.number WHEN 1 THEN %s WHEN 0 THEN %s ELSE %s END", [_("yes"), _("no"), unknown]
    values = trait.profiletrait_set.exclude(number=None).order_by("number").values_list("number", flat=True)
    distinct = [float(value) for value in values.distinct()[: MOST_VALUES + 1] if value is not None]
    if len(distinct) <= MOST_VALUES:
        cases = " ".join("WHEN %s THEN %s" for _value in distinct)
        params: list[str | float] = [part for value in distinct for part in (value, f"{value:g}")]
        return (f"CASE {alias}.number {cases} ELSE %s END", [*params, unknown]) if distinct else ("%s", [unknown])
    total = values.count()
    cuts = sorted({float(values[total * quarter // 4] or 0) for quarter in (1, 2, 3)})
    cases = " ".join(f"WHEN {alias}.number < %s THEN %s" for _cut in cuts)
    named: list[str | float] = []
    for place, cut in enumerate(cuts):
        named += [cut, f"< {cut:g}" if place == 0 else f"{cuts[place - 1]:g} – {cut:g}"]
    sql = f"CASE WHEN {alias}.number IS NULL THEN %s {cases} ELSE %s END"
    return sql, [unknown, *named, f"≥ {cuts[-1]:g}"]


def labels_of(trait: TraitDefinition, sample: Sequence[int]) -> Iterator[tuple[int, str]]:
    sql, params = label_of(trait, "t")
    columns = {"profile_id": "bigint"}
    with (
        staged(name="fairness_sample", columns=columns, rows=[(pk,) for pk in sample]) as table,
        connection.cursor() as cursor,
    ):
        cursor.execute(
            f"SELECT s.profile_id, {sql} FROM {table} s LEFT JOIN marketing_profiletrait t "  # noqa: S608 - constants
            f"ON t.profile_id = s.profile_id AND t.definition_id = {trait.pk:d}",
            params,
        )
        yield from [(int(pk), str(label)) for pk, label in cursor.fetchall()]
