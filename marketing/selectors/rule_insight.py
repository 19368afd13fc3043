"""What a rule would mean before it is saved: its people's other segments, and the question as SQL."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db import connection

from marketing.models import Segment
from marketing.selectors.segments import MOST_OVERLAPS, Count, condition, rule_cursor, rule_people

MOST_SQL: Final = 20_000  # characters shown: a rule of a thousand values is nobody's reading


@dataclass(frozen=True, slots=True)
class RuleOverlap:
    """How much of a rule's people another segment has."""

    segment: Segment
    percent: float


def overlaps(*, rule: Any, at: datetime, found: Count, without: str = "") -> list[RuleOverlap]:
    """Return the segments that most of the rule's people are in, on a sample if the count was."""
    people = rule_people(rule=rule, at=at, is_sampled=found.is_sampled)
    with rule_cursor() as cursor:
        cursor.execute(
            "SELECT m.segment_id, count(*) FROM marketing_membership m JOIN marketing_segment g ON g.id = m.segment_id "  # noqa: S608 - compiled, values are parameters
            f"WHERE g.archived_at IS NULL AND g.slug <> %s AND m.profile_id IN (SELECT p.id FROM {people.sql}) "
            "GROUP BY m.segment_id ORDER BY count(*) DESC, m.segment_id LIMIT %s",
            (without, *people.params, MOST_OVERLAPS),
        )
        shared = dict(cursor.fetchall())
        cursor.execute(f"SELECT count(*) FROM {people.sql}", people.params)  # noqa: S608 - compiled, values are parameters
        total = cursor.fetchone()[0]
    segments = Segment.objects.in_bulk(shared)
    return [RuleOverlap(segment=segments[pk], percent=100 * n / total) for pk, n in shared.items()]


def readable_sql(*, rule: Any, at: datetime) -> str:
    """Return the compiled question with its values in place: to read and to explain, never to run from here."""
    where = condition(rule=rule, at=at)
    parts = where.sql.split("%s")
    values = [_literal(value) for value in where.params]
    text = "".join(part + value for part, value in zip(parts, [*values, ""], strict=True))
    return f"SELECT p.id FROM marketing_profile p\nWHERE p.merged_into_id IS NULL\n  AND ({text})"[:MOST_SQL]  # noqa: S608 - shown, not run


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else f"'{value}'"
    return (
        "'"
        + str(connection.ops.adapt_datetimefield_value(value) if hasattr(value, "tzinfo") else value).replace("'", "''")
        + "'"
    )
