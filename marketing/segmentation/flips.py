"""Whose condition changes because time passes: the people for whom a window moved past something.

For each part of a rule that looks back from now, the rows whose moment lay on one side of its bound then and lies on
the other side now. They are read from an index range, so that the work follows how many there are. Two system traits,
first and last seen, have no index (each event would move it), and cost one pass over the profiles.
"""

from __future__ import annotations

from marketing.segmentation.clock import DAY
from marketing.segmentation.compiler import DELIVERED, Condition, Dialect, moment
from marketing.segmentation.rules import AGO_OPS, EventCount, EventTime, Node, Sent, Trait, walk
from marketing.segmentation.vocabulary import Kind, Vocabulary


def flips(node: Node, *, vocabulary: Vocabulary, since: int, until: int, dialect: Dialect) -> list[Condition]:
    """Return queries for the ids of everybody whose conditions may have changed by the clock between two moments.

    Nobody whose conditions did is missing; some of those found did not change.
    """
    begin, end = min(since, until), max(since, until)
    found: dict[Condition, None] = {}
    for one in walk(node):
        if isinstance(one, EventCount):
            for days in (one.days, one.until_days):
                _add(found, _events(one.event, days, vocabulary, begin, end))
        elif isinstance(one, EventTime):
            if one.where:
                _add(found, _events(one.event, one.days, vocabulary, begin, end))
            else:
                _add(found, _activity(one, vocabulary, begin, end))
        elif isinstance(one, Trait) and one.op in AGO_OPS:
            _add(found, _trait(one, vocabulary, begin, end))
        elif isinstance(one, Sent) and one.days is not None:
            reach = round(one.days * DAY)
            rows = (
                f"SELECT d.profile_id FROM marketing_delivery d WHERE d.campaign_id = %s AND d.status = '{DELIVERED}' "  # noqa: S608 - constants
                "AND d.status_at >= %s AND d.status_at < %s"
            )
            bounds = (moment(begin - reach, dialect), moment(end - reach, dialect))
            _add(found, Condition(rows, (vocabulary.campaigns[one.campaign], *bounds)))
    return list(found)


def _add(found: dict[Condition, None], query: Condition | None) -> None:
    if query is not None:
        found[query] = None


def _events(event: str, days: float | None, vocabulary: Vocabulary, begin: int, end: int) -> Condition | None:
    type_id = vocabulary.event_types.get(event)
    if days is None or type_id is None:
        return None
    reach = round(days * DAY)
    rows = "SELECT e.profile_id FROM marketing_event e WHERE e.type_id = %s AND e.at >= %s AND e.at < %s"
    return Condition(rows, (type_id, begin - reach, end - reach))


def _activity(node: EventTime, vocabulary: Vocabulary, begin: int, end: int) -> Condition | None:
    """Of the summary, not of the events: the first or last one may be in the archive."""
    type_id = vocabulary.event_types.get(node.event)
    if type_id is None:
        return None
    reach, name = round(node.days * DAY), f"a.{node.end}_at"
    rows = f"SELECT a.profile_id FROM marketing_activity a WHERE a.type_id = %s AND {name} >= %s AND {name} < %s"  # noqa: S608 - constants
    return Condition(rows, (type_id, begin - reach, end - reach))


def _trait(node: Trait, vocabulary: Vocabulary, begin: int, end: int) -> Condition | None:
    spec = vocabulary.traits[node.key]
    assert isinstance(node.value, int | float)  # checked
    if spec.kind == Kind.DATE:
        bounds = (begin // DAY - int(node.value), end // DAY - int(node.value))
    else:
        bounds = (begin - round(node.value * DAY), end - round(node.value * DAY))
    if bounds[0] == bounds[1]:
        return None
    if spec.column:
        name = f"p.{spec.column}"
        return Condition(f"SELECT p.id FROM marketing_profile p WHERE {name} >= %s AND {name} < %s", bounds)  # noqa: S608 - constants
    rows = "SELECT t.profile_id FROM marketing_profiletrait t WHERE t.definition_id = %s AND t.number >= %s"
    return Condition(f"{rows} AND t.number < %s", (spec.definition, *bounds))
