"""What people did, as columns, turned into the values of traits: for any set of people at once, and for each alone.

A person's value depends on that person's events only, never on who else is in the batch or in which order the events
come: sums are of whole numbers, and decay is counted in days from the person's own last relevant day, so that time
alone does not change it. Therefore counting everybody and counting those who changed give the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from marketing.portrait.recipes import Affinity, Behavior, Engagement, Events, Habit

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

MICRO: Final = 1_000_000
HALF_HOUR: Final = 1_800 * MICRO  # time zones change at full or half hours
HOUR: Final = 2 * HALF_HOUR
DAY: Final = 24 * HOUR
NONE: Final = -1
"""The code of no text."""
FEWEST_TOUCHES: Final = 3
"""One click on a category is no affinity."""
FEWEST_EVENTS: Final = 5
"""Fewer events than that are no habit."""
ENGAGEMENT: Final = ((8, "high"), (3, "medium"), (1, "low"), (0, "none"))
"""(fewest days with an event in the window, level)."""
_DECAY_ONE: Final = 1 << 16
_WEIGHT_ONE: Final = 1_000
_THURSDAY: Final = 3  # 1 January 1970 was one; Monday is 0
_PERMILLE: Final = 1_000


@dataclass(frozen=True, slots=True)
class Texts:
    """One text for each row: its place in `names`, or NONE. The names are in the order of their characters."""

    codes: Ints
    names: Sequence[str]


@dataclass(frozen=True, slots=True)
class Touches:
    """Which labels the events touched; an order of several products touches several times."""

    event: Ints
    """The event's place in the columns of Deeds."""
    category: Texts
    brand: Texts


@dataclass(frozen=True, slots=True)
class Deeds:
    """The events of `size` people, as columns of one length; `person` is the place among them."""

    size: int
    person: Ints
    type_id: Ints
    at: Ints
    value: Ints
    """Millionths of the reporting currency; 0 where there is none."""
    item: Ints
    """Numbers of items, NONE where there is none."""
    local: Ints
    """`at` as a clock in the reporting time zone shows it."""
    touches: Touches
    properties: Mapping[str, Texts]


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """What is known of everything that `size` people ever did, by event type: counts and sums in millionths."""

    count: Mapping[int, Ints]
    total: Mapping[int, Ints]
    ever: Mask
    """Who ever did anything."""


def localized(at: Ints, zone: ZoneInfo) -> Ints:
    """Return moments (microseconds, UTC) as the clocks of a time zone show them, shape as given."""
    slots, places = np.unique(at // HALF_HOUR, return_inverse=True)
    offsets = np.array([_offset(int(slot), zone) for slot in slots], dtype=np.int64)
    return at + (offsets[places] if slots.size else 0)


def _offset(slot: int, zone: ZoneInfo) -> int:
    moment = datetime.fromtimestamp(slot * 1_800, tz=UTC).astimezone(zone)
    offset = moment.utcoffset()
    assert offset is not None  # a time zone was given
    return round(offset.total_seconds()) * MICRO


def texts_of(values: Sequence[str | None]) -> Texts:
    """Return a column of texts; an empty one is none."""
    if not any(values):
        return Texts(np.full(len(values), NONE, dtype=np.int64), [])
    names = sorted({value for value in values if value})
    places = {name: place for place, name in enumerate(names)}
    codes = np.fromiter((places.get(value or "", NONE) for value in values), dtype=np.int64, count=len(values))
    return Texts(codes, names)


def numbers(
    recipe: Events | Affinity | Habit, *, deeds: Deeds, past: Lifetimes, ids: Mapping[str, int], at: int
) -> Floats:
    """Return a numeric trait of everybody, shape (size,), NaN where there is none; `ids` names event types."""
    match recipe:
        case Events():
            return _events(recipe, deeds, past, ids, at)
        case Affinity():
            return _shares(recipe, deeds, ids, at)
        case Habit():
            return _habit_of(recipe, deeds, at)


def texts(
    recipe: Engagement | Affinity | Habit, *, deeds: Deeds, past: Lifetimes, ids: Mapping[str, int], at: int
) -> Texts:
    """Return a textual trait of everybody, size codes."""
    match recipe:
        case Engagement():
            days = _different(deeds.person, deeds.local // DAY, _since(deeds, recipe.days, at), deeds.size)
            codes = np.full(deeds.size, NONE, dtype=np.int64)
            for code in range(len(ENGAGEMENT) - 1, -1, -1):
                codes[past.ever & (days >= ENGAGEMENT[code][0])] = code
            return Texts(codes, [name for _, name in ENGAGEMENT])
        case Affinity():
            return _tops(recipe, deeds, ids, at)
        case Habit():
            column = deeds.properties[recipe.property]
            found = _most_frequent(recipe, deeds, column.codes, len(column.names), at)
            return Texts(found, column.names)


def is_textual(recipe: Behavior) -> bool:
    """Tell whether the recipe makes texts."""
    match recipe:
        case Engagement() | Affinity(give="top") | Habit(of="property"):
            return True
        case _:
            return False


def _since(deeds: Deeds, days: int, at: int) -> Mask:
    return deeds.at >= at - days * DAY


def _events(recipe: Events, deeds: Deeds, past: Lifetimes, ids: Mapping[str, int], at: int) -> Floats:
    type_id = ids.get(recipe.event, NONE)
    ever = past.ever if not recipe.event else past.count.get(type_id, np.zeros(deeds.size, dtype=np.int64)) > 0
    if recipe.days is None:
        measured = (past.count if recipe.measure == "count" else past.total).get(type_id)
        found: Floats = np.zeros(deeds.size) if measured is None else measured.astype(np.float64)
    else:
        mask = _since(deeds, recipe.days, at)
        if recipe.event:
            mask &= deeds.type_id == type_id
        found = _measured(recipe.measure, deeds, mask)
    if recipe.measure == "sum":
        found = found / MICRO
    return np.where(ever, found, np.nan)


def _measured(measure: str, deeds: Deeds, mask: Mask) -> Floats:
    if measure == "items":
        return _different(deeds.person, deeds.item, mask & (deeds.item != NONE), deeds.size)
    if measure == "days":
        return _different(deeds.person, deeds.local // DAY, mask, deeds.size)
    # Sums of whole numbers below 2**53 are exact in floating point, in whatever order.
    weights = deeds.value[mask].astype(np.float64) if measure == "sum" else None
    return np.bincount(deeds.person[mask], weights=weights, minlength=deeds.size).astype(np.float64)


def _different(person: Ints, what: Ints, mask: Mask, size: int) -> Floats:
    """How many different values each person has among the marked rows."""
    if not mask.any():
        return np.zeros(size)
    values = what[mask]
    least = values.min()
    width = int(values.max() - least) + 1
    pairs = np.unique(person[mask] * width + (values - least))
    return np.bincount(pairs // width, minlength=size).astype(np.float64)


def _decayed(person: Ints, day: Ints, half_life: int, size: int) -> Ints:
    """The weight of each row: halved for each half-life before the person's last row."""
    last = np.full(size, np.iinfo(np.int64).min, dtype=np.int64)
    np.maximum.at(last, person, day)
    ages = last[person] - day
    table = np.round(_DECAY_ONE * 0.5 ** (np.arange(int(ages.max(initial=0)) + 1) / half_life)).astype(np.int64)
    weights: Ints = table[ages]
    return weights


@dataclass(frozen=True, slots=True)
class _Scores:
    """What each person cares for: one row for each person and label, in this order; `touches` and `total` by person."""

    person: Ints
    label: Ints
    sums: Ints
    total: Ints
    touches: Ints
    names: Sequence[str]

    @property
    def enough(self) -> Mask:
        return self.touches >= FEWEST_TOUCHES


def _scores(recipe: Affinity, deeds: Deeds, ids: Mapping[str, int], at: int) -> _Scores:
    labels = deeds.touches.category if recipe.of == "category" else deeds.touches.brand
    weight_of = np.zeros(max([*ids.values(), 0]) + 1, dtype=np.int64)
    for name, given in recipe.weights.items():
        if name in ids:
            weight_of[ids[name]] = max(1, round(given * _WEIGHT_ONE))
    event = deeds.touches.event
    kind = deeds.type_id[event]
    weight = np.where(kind < weight_of.size, weight_of[np.minimum(kind, weight_of.size - 1)], 0)
    mask = (labels.codes != NONE) & (weight > 0) & (deeds.at[event] >= at - recipe.days * DAY)
    event, code, weight = event[mask], labels.codes[mask], weight[mask]
    person = deeds.person[event]
    weight = weight * _decayed(person, deeds.local[event] // DAY, recipe.half_life, deeds.size)
    width = max(len(labels.names), 1)
    pairs, places = np.unique(person * width + code, return_inverse=True)
    sums = np.bincount(places, weights=weight.astype(np.float64), minlength=pairs.size).astype(np.int64)
    owner = pairs // width
    return _Scores(
        person=owner,
        label=pairs % width,
        sums=sums,
        total=np.bincount(owner, weights=sums.astype(np.float64), minlength=deeds.size).astype(np.int64),
        touches=np.bincount(person, minlength=deeds.size).astype(np.int64),
        names=labels.names,
    )


def _best(scores: _Scores) -> Ints:
    """The rows with each person's highest sum; of equal ones the first label in the order of characters."""
    order = np.lexsort((scores.label, -scores.sums, scores.person))
    people = scores.person[order]
    first = np.ones(people.size, dtype=bool)
    first[1:] = people[1:] != people[:-1]
    best: Ints = order[first]
    return best


def _tops(recipe: Affinity, deeds: Deeds, ids: Mapping[str, int], at: int) -> Texts:
    scores = _scores(recipe, deeds, ids, at)
    best = _best(scores)
    codes = np.full(deeds.size, NONE, dtype=np.int64)
    codes[scores.person[best]] = scores.label[best]
    codes[~scores.enough] = NONE
    return Texts(codes, scores.names)


def _shares(recipe: Affinity, deeds: Deeds, ids: Mapping[str, int], at: int) -> Floats:
    scores = _scores(recipe, deeds, ids, at)
    if recipe.label:
        place = scores.names.index(recipe.label) if recipe.label in scores.names else NONE
        rows = np.flatnonzero(scores.label == place)
    else:
        rows = _best(scores)
    part = np.zeros(deeds.size, dtype=np.int64)
    part[scores.person[rows]] = scores.sums[rows]
    whole = np.maximum(scores.total, 1)
    # Rounded to a thousandth in whole numbers.
    permille = part // whole * _PERMILLE + (2 * _PERMILLE * (part % whole) + whole) // (2 * whole)
    return np.where(scores.enough, permille / _PERMILLE, np.nan)


def _habit_of(recipe: Habit, deeds: Deeds, at: int) -> Floats:
    if recipe.of == "hour":
        codes, width, first = deeds.local // HOUR % 24, 24, 0
    else:
        codes, width, first = (deeds.local // DAY + _THURSDAY) % 7, 7, 1
    found = _most_frequent(recipe, deeds, codes, width, at)
    return np.where(found == NONE, np.nan, (found + first).astype(np.float64))


def _most_frequent(recipe: Habit, deeds: Deeds, codes: Ints, width: int, at: int) -> Ints:
    mask = _since(deeds, recipe.days, at) & (codes != NONE)
    person = deeds.person[mask]
    weight = _decayed(person, deeds.local[mask] // DAY, recipe.half_life, deeds.size)
    width = max(width, 1)
    pairs, places = np.unique(person * width + codes[mask], return_inverse=True)
    sums = np.bincount(places, weights=weight.astype(np.float64), minlength=pairs.size)
    order = np.lexsort((pairs % width, -sums, pairs // width))
    people = pairs[order] // width
    first = np.ones(people.size, dtype=bool)
    first[1:] = people[1:] != people[:-1]
    found = np.full(deeds.size, NONE, dtype=np.int64)
    found[people[first]] = pairs[order][first] % width
    found[np.bincount(person, minlength=deeds.size) < FEWEST_EVENTS] = NONE
    return found
