"""From the database into columns: the events of some people, and what is known of their whole past."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import orjson
from django.conf import settings
from django.db import connection

from marketing.choices import Purpose
from marketing.models import ItemLabel
from marketing.portrait.behavior import NONE, Deeds, Lifetimes, Touches, localized, texts_of
from marketing.portrait.recipes import Habit
from marketing.segmentation.clock import DAY
from marketing.services.bulk import is_postgres

if TYPE_CHECKING:
    from marketing.services.portrait.plan import Plan

FETCHED: Final = 20_000  # rows at a time
Ints = np.ndarray[Any, np.dtype[np.int64]]
# Whoever objects to profiling is not counted, and whoever was merged counts for the winner.
COUNTED: Final = f"""p.merged_into_id IS NULL AND NOT p.is_objector AND p.id NOT IN (
    SELECT c.profile_id FROM marketing_consent c
    WHERE c.purpose = '{Purpose.PROFILING.value}' AND NOT c.granted AND NOT EXISTS (
        SELECT 1 FROM marketing_consent l WHERE l.profile_id = c.profile_id AND l.purpose = c.purpose
        AND (l.at > c.at OR (l.at = c.at AND l.id > c.id))
    )
)"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class Some:
    """Some people: those from `first` up to `last`, or just these of them."""

    first: int
    last: int
    only: Sequence[int] | None = None

    def among(self, column: str) -> tuple[str, list[Any]]:
        """Return the condition that the column holds one of them, with its parameters."""
        if self.only is None:
            return f"{column} BETWEEN %s AND %s", [self.first, self.last]
        if is_postgres():
            return f"{column} = ANY(%s)", [list(self.only)]
        return f"{column} IN (SELECT value FROM json_each(%s))", [  # noqa: S608 - a column
            json.dumps(list(self.only))
        ]


@contextmanager
def streamed(sql: str, params: Sequence[Any]) -> Iterator[Iterator[list[tuple[Any, ...]]]]:
    """Run a query and give its rows in lists, never all at once."""
    with connection.chunked_cursor() as cursor:
        cursor.execute(sql, params)
        yield iter(lambda: cursor.fetchmany(FETCHED), [])


def column(sql: str, params: Sequence[Any] = ()) -> Ints:
    """Return the whole numbers of a query with one column."""
    with streamed(sql, params) as lists:
        rows = chain.from_iterable(lists)
        return np.fromiter((row[0] for row in rows), dtype=np.int64)


def counted(some: Some) -> Ints:
    """Return the people among some whose behavior is counted, in the order of their keys."""
    where, params = some.among("p.id")
    return column(f"SELECT p.id FROM marketing_profile p WHERE {where} AND {COUNTED} ORDER BY p.id", params)  # noqa: S608 - constants


@dataclass(slots=True)
class Catalogue:
    """The labels under which items count, kept for the whole run; items have numbers as they are met."""

    labels: Mapping[str, tuple[str, str]]
    numbers: dict[str, int] = field(default_factory=dict)
    words: tuple[dict[str, str], dict[str, str]] = field(default_factory=lambda: ({}, {}))
    """Category and brand by their name in lower case, for what people search."""

    @classmethod
    def load(cls) -> Catalogue:
        """Read the labels that this run counts by."""
        rows = ItemLabel.objects.values_list("item_id", "category", "brand").iterator(FETCHED)
        labels = {item_id: (category, brand) for item_id, category, brand in rows}
        words: tuple[dict[str, str], dict[str, str]] = ({}, {})
        for both in sorted(set(labels.values())):
            for known, name in zip(words, both, strict=True):
                if name:
                    known.setdefault(name.lower(), name)
        return cls(labels, {}, words)

    def number(self, item: str | None) -> int:
        """Return the number of an item, NONE for none."""
        return NONE if not item else self.numbers.setdefault(item, len(self.numbers))

    def labels_of(self, props: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Return the (category, brand) that an event without an item is about: its products, its own, or its search."""
        products = props.get("products")
        if isinstance(products, list):
            ids = (one.get("product_id") or one.get("sku") for one in products if isinstance(one, Mapping))
            found = [self.labels[str(one)] for one in ids if one and str(one) in self.labels]
            if found:
                return found
        own = tuple(value if isinstance(value := props.get(key), str) else "" for key in ("category", "brand"))
        if any(own):
            return [(own[0][:200], own[1][:200])]
        query = props.get("query")
        if not isinstance(query, str):
            return []
        searched = (self._searched(query, known) for known in self.words)
        both = (next(searched), next(searched))
        return [both] if any(both) else []

    @staticmethod
    def _searched(query: str, known: Mapping[str, str]) -> str:
        text = query.strip().lower()
        return known.get(text) or next((known[word] for word in text.split() if word in known), "")


def read_deeds(*, plan: Plan, people: Ints, some: Some, at: int, catalogue: Catalogue) -> Deeds:
    """Return the events of these people that any recipe looks at."""
    names = sorted({one.property for one in plan.behavior.values() if isinstance(one, Habit) and one.property})
    weighted = plan.weighted_types
    rows: list[list[Any]] = [[] for _ in range(6 + len(names))]
    if plan.most_days is not None:
        sql, params = _events_sql(names, weighted, some, at - plan.most_days * DAY)
        with streamed(sql, params) as lists:
            for some_rows in lists:
                for place, values in enumerate(zip(*some_rows, strict=True)):
                    rows[place].extend(values)
    ids = np.array(rows[0], dtype=np.int64)
    places = np.searchsorted(people, ids)
    known = people[np.minimum(places, people.size - 1)] == ids if people.size else np.zeros(ids.size, dtype=bool)
    kinds, moments, values = (np.array(one, dtype=np.int64)[known] for one in rows[1:4])
    keep = known.tolist()
    items = [item for item, kept in zip(rows[4], keep, strict=True) if kept]
    extras = [extra for extra, kept in zip(rows[5], keep, strict=True) if kept]
    return Deeds(
        size=people.size,
        person=places[known],
        type_id=kinds,
        at=moments,
        value=values,
        item=np.fromiter(map(catalogue.number, items), dtype=np.int64, count=len(items)),
        local=localized(moments, ZoneInfo(settings.REPORTING_TIME_ZONE)),
        touches=_touches(items, extras, kinds, weighted, catalogue),
        properties={
            name: texts_of([value for value, kept in zip(rows[6 + place], keep, strict=True) if kept])
            for place, name in enumerate(names)
        },
    )


def _events_sql(names: Sequence[str], weighted: Collection[int], some: Some, since: int) -> tuple[str, list[Any]]:
    where, params = some.among("e.profile_id")
    kinds = ", ".join(str(int(one)) for one in sorted(weighted)) or "NULL"
    text = "e.props::text" if is_postgres() else "e.props"
    extra = f"CASE WHEN e.item IS NULL AND e.type_id IN ({kinds}) THEN {text} END"
    # The names are checked: letters, digits and _.
    wanted = [
        f"CASE WHEN jsonb_typeof(e.props -> '{name}') = 'string' THEN e.props ->> '{name}' END"
        if is_postgres()
        else f"CASE json_type(e.props, '$.{name}') WHEN 'text' THEN json_extract(e.props, '$.{name}') END"
        for name in names
    ]
    columns = ", ".join(["e.profile_id, e.type_id, e.at, COALESCE(e.value, 0), e.item", extra, *wanted])
    return f"SELECT {columns} FROM marketing_event e WHERE {where} AND e.at >= %s", [*params, since]  # noqa: S608 - checked


def _touches(
    items: Sequence[str | None], extras: Sequence[Any], kinds: Ints, weighted: Collection[int], catalogue: Catalogue
) -> Touches:
    """Which labels the events touched, those of weighted types only."""
    events: list[int] = []
    categories: list[str] = []
    brands: list[str] = []
    labels = catalogue.labels
    is_weighted = np.isin(kinds, list(weighted))
    for place in np.flatnonzero(is_weighted).tolist():
        item = items[place]
        if item is not None:
            both = labels.get(item)
            found = [] if both is None else [both]
        elif extras[place] is None or extras[place] == "{}":
            continue
        else:
            found = catalogue.labels_of(orjson.loads(extras[place]))
        for category, brand in found:
            events.append(place)
            categories.append(category)
            brands.append(brand)
    return Touches(np.array(events, dtype=np.int64), texts_of(categories), texts_of(brands))


def read_lifetimes(*, people: Ints, some: Some) -> Lifetimes:
    """Return how often and for how much these people did what, over their whole past."""
    where, params = some.among("a.profile_id")
    columns: list[list[int]] = [[], [], [], []]
    with streamed(
        f"SELECT a.profile_id, a.type_id, a.n, a.total FROM marketing_activity a WHERE {where}",  # noqa: S608 - constants
        params,
    ) as lists:
        for rows in lists:
            for place, values in enumerate(zip(*rows, strict=True)):
                columns[place].extend(values)
    ids, kinds, counts, totals = (np.array(one, dtype=np.int64) for one in columns)
    places = np.searchsorted(people, ids)
    known = people[np.minimum(places, people.size - 1)] == ids if people.size else np.zeros(ids.size, dtype=bool)
    places, kinds, counts, totals = places[known], kinds[known], counts[known], totals[known]
    count: dict[int, Ints] = {}
    total: dict[int, Ints] = {}
    for kind in np.unique(kinds).tolist():
        mine = kinds == kind
        count[kind], total[kind] = (np.zeros(people.size, dtype=np.int64) for _ in range(2))
        count[kind][places[mine]] = counts[mine]
        total[kind][places[mine]] = totals[mine]
    ever = np.zeros(people.size, dtype=bool)
    ever[places] = True
    return Lifetimes(count, total, ever)
