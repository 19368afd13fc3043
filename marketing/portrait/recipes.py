"""How computed traits are made, as data: recipes in JSON (schema 1), checked.

- `{"kind": "events", "event": name, "measure": "count" | "sum" | "items" | "days", "days": n | null}`: how often, for
  how much (whole units of money), with how many different items, on how many days; an empty event name is any event
  (`days` only); without `days` the whole past (`count` and `sum` only)
- `{"kind": "engagement", "days": n}`: high, medium or low, by the days with an event
- `{"kind": "affinity", "of": "category" | "brand", "give": "top" | "share", "label": text?, "days": n, "half_life": n,
  "weights": {event: weight}}`: what the person cares for most, its share of everything, or the share of one label
- `{"kind": "habit", "of": "hour" | "weekday" | "property", "property": name?, "days": n, "half_life": n}`
- `{"kind": "orders", "give": one of ORDER_TRAITS, "horizon": days?}`: of people who ordered, by all orders at once
- `{"kind": "formula", "expression": text}`: arithmetic over other traits that are numbers

A window of `days` is [at − days, at). Meaning of no value: a person of whom the recipe says nothing (never did it, too
few events, not a buyer, an objection to profiling) has no value, which is not zero. Somebody who did it before, but not
in the window, has 0.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from marketing.portrait.formula import Formula, FormulaError, read_formula

SCHEMA: Final = 1
VERSION: Final = 1
"""Of the calculation itself: raise it when the same recipe would give other values; everybody is counted again."""
MOST_DAYS: Final = 3_650
LONGEST_NAME: Final = 100
LONGEST_LABEL: Final = 200
MEASURES: Final = ("count", "sum", "items", "days")
ORDER_TRAITS: Final = {
    "average_order_value": "number",
    "lifetime_value": "number",
    "last_order": "date",
    "rfm_recency": "number",
    "rfm_frequency": "number",
    "rfm_monetary": "number",
    "rfm_group": "text",
    "price_level": "text",
    "churn_risk": "number",
    "predicted_orders": "number",
    "predicted_value": "number",
}
WITH_HORIZON: Final = ("predicted_orders", "predicted_value")
DEFAULT_HORIZON: Final = 365
_PROPERTY: Final = re.compile(r"[A-Za-z0-9_]{1,64}")


class RecipeError(ValueError):
    """The recipe cannot be followed; the text says what is wrong."""


@dataclass(frozen=True, slots=True)
class Events:
    event: str
    measure: str
    days: int | None


@dataclass(frozen=True, slots=True)
class Engagement:
    days: int


@dataclass(frozen=True, slots=True)
class Affinity:
    of: str
    give: str
    label: str
    days: int
    half_life: int
    weights: Mapping[str, float] = field(hash=False)


@dataclass(frozen=True, slots=True)
class Habit:
    of: str
    property: str
    days: int
    half_life: int


@dataclass(frozen=True, slots=True)
class Orders:
    give: str
    horizon: int


@dataclass(frozen=True, slots=True)
class Computed:
    """A formula over other traits."""

    formula: Formula


Recipe = Events | Engagement | Affinity | Habit | Orders | Computed
Behavior = Events | Engagement | Affinity | Habit


def parse(data: Any) -> Recipe:
    """Return the recipe of its JSON; `RecipeError` says what is wrong."""
    if not isinstance(data, Mapping) or data.get("schema") != SCHEMA:
        raise RecipeError(f'a recipe must be {{"schema": {SCHEMA}, "kind": …}}')
    kind = data.get("kind")
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        raise RecipeError(f"kind must be one of {', '.join(_READERS)}, got {kind!r:.40}")
    unknown = sorted(map(str, set(data) - {"schema", "kind"} - set(_KEYS[str(kind)])))
    if unknown:
        raise RecipeError(f"a recipe of the kind {kind} does not know {', '.join(unknown)}")
    return reader(data)


def value_type(recipe: Recipe) -> str:
    """Return the type of trait (text, number, date) that the recipe makes."""
    match recipe:
        case Engagement() | Affinity(give="top") | Habit(of="property"):
            return "text"
        case Orders(give=give):
            return ORDER_TRAITS[give]
        case _:
            return "number"


def lookback(recipe: Recipe) -> int | None:
    """Return how many days back the recipe reads events; None if it reads none."""
    return None if isinstance(recipe, Orders | Computed) else recipe.days


def event_names(recipe: Recipe) -> frozenset[str] | None:
    """Return the events that the recipe reads within its window; None for all of them."""
    match recipe:
        case Events(event=event) if event:
            return frozenset((event,))
        case Affinity(weights=weights):
            return frozenset(weights)
        case Events() | Engagement() | Habit():
            return None
        case _:
            return frozenset()


def fingerprint(recipes: Iterable[Mapping[str, Any]], *extra: str) -> str:
    """Return the SHA-256 of what decides the values beside the events."""
    text = json.dumps([VERSION, *extra, *recipes], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _events(data: Mapping[str, Any]) -> Recipe:
    measure = _choice(data, "measure", MEASURES)
    event = _text(data, "event", LONGEST_NAME, may_be_empty=measure == "days")
    days = None if data.get("days") is None else _days(data, "days")
    if days is None and measure not in ("count", "sum"):
        raise RecipeError(f"{measure} needs days: of the whole past only count and sum are kept")
    return Events(event, measure, days)


def _engagement(data: Mapping[str, Any]) -> Recipe:
    return Engagement(_days(data, "days"))


def _affinity(data: Mapping[str, Any]) -> Recipe:
    give = _choice(data, "give", ("top", "share"))
    label = _text(data, "label", LONGEST_LABEL, may_be_empty=True)
    if label and give == "top":
        raise RecipeError("label belongs to the share of one label, not to top")
    weights = data.get("weights")
    if not isinstance(weights, Mapping) or not weights:
        raise RecipeError("weights must be an object of event: weight with at least one event")
    for event, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight <= 1_000:
            raise RecipeError(f"the weight of {event!r:.60} must be a number in (0, 1000], got {weight!r:.40}")
    return Affinity(
        of=_choice(data, "of", ("category", "brand")),
        give=give,
        label=label,
        days=_days(data, "days"),
        half_life=_days(data, "half_life"),
        weights=dict(weights),
    )


def _habit(data: Mapping[str, Any]) -> Recipe:
    of = _choice(data, "of", ("hour", "weekday", "property"))
    name = str(data.get("property", ""))
    if (of == "property") != bool(name) or (name and not _PROPERTY.fullmatch(name)):
        raise RecipeError(f"property must name one when of is property, and only then, got {name!r:.60}")
    return Habit(of, name, _days(data, "days"), _days(data, "half_life"))


def _orders(data: Mapping[str, Any]) -> Recipe:
    give = _choice(data, "give", tuple(ORDER_TRAITS))
    if "horizon" in data and give not in WITH_HORIZON:
        raise RecipeError(f"horizon belongs to {' and '.join(WITH_HORIZON)}, not to {give}")
    return Orders(give, _days(data, "horizon") if "horizon" in data else DEFAULT_HORIZON)


def _formula(data: Mapping[str, Any]) -> Recipe:
    try:
        return Computed(read_formula(data.get("expression")))
    except FormulaError as error:
        raise RecipeError(f"expression: {error}") from error


_READERS: Final[Mapping[str, Callable[[Mapping[str, Any]], Recipe]]] = {
    "events": _events,
    "engagement": _engagement,
    "affinity": _affinity,
    "habit": _habit,
    "orders": _orders,
    "formula": _formula,
}
_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "events": ("event", "measure", "days"),
    "engagement": ("days",),
    "affinity": ("of", "give", "label", "days", "half_life", "weights"),
    "habit": ("of", "property", "days", "half_life"),
    "orders": ("give", "horizon"),
    "formula": ("expression",),
}


def _choice(data: Mapping[str, Any], name: str, allowed: tuple[str, ...]) -> str:
    value = data.get(name)
    if value not in allowed:
        raise RecipeError(f"{name} must be one of {', '.join(allowed)}, got {value!r:.40}")
    return str(value)


def _days(data: Mapping[str, Any], name: str) -> int:
    value = data.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_DAYS:
        raise RecipeError(f"{name} must be a whole number of days from 1 to {MOST_DAYS}, got {value!r:.40}")
    return value


def _text(data: Mapping[str, Any], name: str, longest: int, *, may_be_empty: bool = False) -> str:
    value = data.get(name, "")
    if not isinstance(value, str) or len(value) > longest or "\x00" in value or not (value or may_be_empty):
        raise RecipeError(f"{name} must be a text of 1 to {longest} characters, got {value!r:.40}")
    return value
