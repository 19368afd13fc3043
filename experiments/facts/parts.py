"""One number per unit from its events: what each aggregation is in terms of sums, minima, maxima and row_number."""

from __future__ import annotations

import operator
from collections.abc import Collection
from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING, Final

from experiments.definitions import EXPERIMENT_PLACEHOLDER, MICRO, Part, PropertyFilter, compares_numbers

if TYPE_CHECKING:
    import ibis
    from ibis.expr.types import BooleanValue, IntegerScalar, IntegerValue

_COMPARISONS: Final = {"lt": operator.lt, "lte": operator.le, "gt": operator.gt, "gte": operator.ge}
SUMS: Final = frozenset(("exists", "count", "sum", "max"))


def is_sum(part: Part) -> bool:
    """Whether the part is a conditional sum, count or maximum over all events of a unit."""
    return part.aggregation in SUMS and not part.after


def unordered(part: Part) -> Part:
    """The part without its steps: before an exposure, nobody is on the way through a funnel."""
    return replace(part, after=())


def matches(
    events: ibis.Table, part: Part, *, experiment_key: str, only: Collection[str] | None = None
) -> BooleanValue:
    """Whether an event belongs to the part: its type first, so that properties are read last.

    Where `only` these types were read and the part counts all of them, the type need not be looked at.
    """
    import ibis

    is_every = only is not None and set(only) <= set(part.event_types)
    conditions = [] if is_every else [events.type.isin(part.event_types)]
    conditions += [_filter(events, item, experiment_key) for item in part.filters]
    return reduce(lambda one, other: one & other, conditions) if conditions else ibis.literal(True)


def number(events: ibis.Table, part: Part) -> IntegerValue:
    """What an event adds: its value, or the property that the part names."""
    return events[f"number_{part.value_property}"] if part.value_property else events.value


def aggregate(events: ibis.Table, part: Part, condition: BooleanValue) -> IntegerScalar:
    """The part's sum, count or maximum over the events that satisfy the condition."""
    if part.aggregation == "sum":
        return condition.ifelse(number(events, part).fill_null(0), 0).sum()
    if part.aggregation == "max":
        return condition.ifelse(number(events, part), None).max()
    flags = condition.ifelse(1, 0).cast("int64")
    return flags.max() if part.aggregation == "exists" else flags.sum()


def relation(events: ibis.Table, part: Part, when: BooleanValue, *, experiment_key: str, column: str) -> ibis.Table:
    """`unit` and the part's number under the name `column`, for units that have one."""
    chosen = matches(events, part, experiment_key=experiment_key) & when
    if part.after:
        return _reached(events, part, chosen, when, column)
    if part.aggregation == "distinct":
        values = events.filter(chosen).select("unit", text=events[f"property_{part.value_property}"])
        return (
            values.filter(values.text.notnull()).distinct().group_by("unit").agg(**{column: lambda rows: rows.count()})
        )
    return _ranked(events.filter(chosen), part, column)


def _ranked(events: ibis.Table, part: Part, column: str) -> ibis.Table:
    """The value of the earliest or latest event that has one; of several in one instant, the smallest."""
    import ibis

    rows = events.select("unit", "at", number=number(events, part))
    rows = rows.filter(rows.number.notnull())
    order = rows.at.asc() if part.aggregation == "first" else rows.at.desc()
    placed = rows.mutate(place=ibis.row_number().over(group_by=rows.unit, order_by=[order, rows.number.asc()]))
    return placed.filter(placed.place == 0).select("unit", **{column: placed.number})


def _reached(events: ibis.Table, part: Part, chosen: BooleanValue, when: BooleanValue, column: str) -> ibis.Table:
    """Whether the steps were taken in their order, each no earlier than the one before it."""
    import ibis

    reached: ibis.Table | None = None
    for step in part.after:
        rows = events.filter((events.type == step) & when).select("unit", "at")
        reached = _first_after(rows, reached)
    assert reached is not None  # `after` names at least one step
    last = _first_after(events.filter(chosen).select("unit", "at"), reached)
    return last.select("unit", **{column: ibis.literal(1, "int64")})


def _first_after(rows: ibis.Table, reached: ibis.Table | None) -> ibis.Table:
    """Per unit the earliest of the events that are not before the step already reached."""
    if reached is not None:
        joined = rows.inner_join(reached, "unit")
        rows = joined.filter(joined.at >= joined.reached_at).select("unit", "at")
    return rows.group_by("unit").agg(reached_at=rows.at.min())


def _filter(events: ibis.Table, item: PropertyFilter, experiment_key: str) -> BooleanValue:
    if compares_numbers(item):
        bound = round(float(item.value) * MICRO)
        column = events[f"number_{item.property}"]
        compared: BooleanValue = _COMPARISONS[item.operator](column, bound)
        return compared
    value = experiment_key if item.value == EXPERIMENT_PLACEHOLDER else item.value
    text = events[f"property_{item.property}"]
    return text == value if item.operator == "eq" else text != value
