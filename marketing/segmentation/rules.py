"""A segment's rule as a tree of frozen nodes, read from JSON and checked.

JSON: `{"schema": 1, "root": node}` where a node is one of

- `{"all": [node, …]}`, `{"any": [node, …]}`, `{"not": node}`; `{"all": []}` is everybody, `{"any": []}` nobody
- `{"trait": key, "op": op, "value": value}`
- `{"event": name, "op": op, "n": number, "days": days?, "until_days": days?, "measure": "count" | "sum"?,
  "where": [filter, …]?}`; a filter is `{"property": name, "op": op, "value": value}`; without `days` the whole past
  counts; with `until_days` the last ones do not: `days` 60 and `until_days` 30 is from 60 until 30 days ago
- `{"first": name, "op": op, "value": days, "where": [filter, …]?}` and `{"last": …}`: when somebody did it first or
  last, with `within_days` or `not_within_days` (longer ago); false of somebody who never did
- `{"in_segment": slug}`, `{"consent": purpose}`, `{"sample": {"salt": text, "percent": number}}`
- `{"sent": campaign, "days": days?}`: a message of the campaign was handed over (in the last `days`)

Meaning: a node is true or false of every person, never unknown. A condition on a value is false of somebody who does
not have it, `ne` and `not_in` included (they speak of people whose value is known); a `not` around it is therefore
true of them. So everybody is in exactly one of `x` and `not x`, and somebody *with* a value in exactly one of `> b`
and `≤ b`. Texts are compared character by character: case matters.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

SCHEMA: Final = 1
MAX_NODES: Final = 200  # compiled, each costs a sub-query: beyond that a rule is a mistake
MAX_DEPTH: Final = 10
MAX_VALUES: Final = 1_000
MAX_DAYS: Final = 3_650
LONGEST_VALUE: Final = 255
SAMPLE_BUCKETS: Final = 1_000

NUMBER_OPS: Final = ("eq", "ne", "gt", "gte", "lt", "lte")
TEXT_OPS: Final = ("eq", "ne", "in", "not_in", "contains", "starts_with")
SET_OPS: Final = ("in", "not_in")
PRESENCE_OPS: Final = ("is_set", "is_not_set")
AGO_OPS: Final = ("within_days", "not_within_days")
TRAIT_OPS: Final = tuple(dict.fromkeys((*NUMBER_OPS, *TEXT_OPS, *PRESENCE_OPS, *AGO_OPS)))
COUNT_OPS: Final = ("eq", "gt", "gte", "lt", "lte")
FILTER_OPS: Final = (*NUMBER_OPS, "in", "not_in", "contains", "starts_with")
MEASURES: Final = ("count", "sum")
ENDS: Final = ("first", "last")
_NAME: Final = re.compile(r"[A-Za-z0-9_$][A-Za-z0-9_ .$-]{0,63}")

Scalar = str | float | bool


class RuleError(ValueError):
    """The rule cannot be understood; the text says where and why."""


@dataclass(frozen=True, slots=True)
class All:
    children: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    children: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    child: Node


@dataclass(frozen=True, slots=True)
class Trait:
    """`value` is a tuple for `in` and `not_in`, None for the presence operators."""

    key: str
    op: str
    value: Scalar | tuple[Scalar, ...] | None


@dataclass(frozen=True, slots=True)
class Filter:
    property: str
    op: str
    value: Scalar | tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class EventCount:
    """How often somebody did something (or for how much: `sum`, in whole units of money) in the last `days`.

    The last `until_days` of these are left out.
    """

    event: str
    op: str
    n: float
    days: float | None = None
    measure: str = "count"
    where: tuple[Filter, ...] = ()
    until_days: float | None = None


@dataclass(frozen=True, slots=True)
class EventTime:
    """When somebody did something first or last (`end`): within so many days, or longer ago."""

    event: str
    end: str
    op: str
    days: float
    where: tuple[Filter, ...] = ()


@dataclass(frozen=True, slots=True)
class Sent:
    """A message of the campaign was handed over (in the last `days`)."""

    campaign: str
    days: float | None = None


@dataclass(frozen=True, slots=True)
class InSegment:
    slug: str


@dataclass(frozen=True, slots=True)
class HasConsent:
    purpose: str


@dataclass(frozen=True, slots=True)
class Sample:
    """A stable share of everybody: the same people for the same salt, another draw for another one."""

    salt: str
    percent: float

    @property
    def buckets(self) -> tuple[int, ...]:
        """The sample buckets that are in: the first ones in the order that the salt gives."""
        order = sorted(range(SAMPLE_BUCKETS), key=lambda one: hashlib.sha256(f"{self.salt}:{one}".encode()).digest())
        return tuple(sorted(order[: round(self.percent * SAMPLE_BUCKETS / 100)]))


Node = All | AnyOf | Not | Trait | EventCount | EventTime | InSegment | HasConsent | Sent | Sample


def parse(data: Any) -> Node:
    """Return the tree of a rule in JSON; `RuleError` says what is wrong."""
    if not isinstance(data, Mapping) or data.get("schema") != SCHEMA or set(data) != {"schema", "root"}:
        raise RuleError(f'a rule must be {{"schema": {SCHEMA}, "root": …}}')
    budget = [MAX_NODES]
    return _node(data["root"], 1, budget)


def walk(node: Node) -> Iterator[Node]:
    """Yield the node and everything below it."""
    yield node
    if isinstance(node, All | AnyOf):
        for child in node.children:
            yield from walk(child)
    elif isinstance(node, Not):
        yield from walk(node.child)


def segments_of(node: Node) -> set[str]:
    """Return the slugs of the segments that the rule refers to."""
    return {one.slug for one in walk(node) if isinstance(one, InSegment)}


def fingerprint(data: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the rule in its canonical form."""
    return hashlib.sha256(json.dumps(data, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _node(data: Any, depth: int, budget: list[int]) -> Node:
    budget[0] -= 1
    if budget[0] < 0:
        raise RuleError(f"a rule may have {MAX_NODES} conditions at most")
    if depth > MAX_DEPTH:
        raise RuleError(f"a rule may be nested {MAX_DEPTH} levels deep at most")
    if not isinstance(data, Mapping):
        raise RuleError("a condition must be an object")
    for key, reader in _READERS.items():
        if key in data:
            unknown = set(data) - _KEYS[key]
            if unknown:
                raise RuleError(f"a condition on {key} does not know {', '.join(sorted(map(str, unknown)))}")
            return reader(data, depth, budget)
    raise RuleError(f"a condition must be one of {', '.join(_READERS)}")


def _children(data: Any, depth: int, budget: list[int]) -> tuple[Node, ...]:
    if not isinstance(data, list):
        raise RuleError("all and any must hold a list")
    return tuple(_node(child, depth + 1, budget) for child in data)


def _all(data: Mapping[str, Any], depth: int, budget: list[int]) -> Node:
    return All(_children(data["all"], depth, budget))


def _any(data: Mapping[str, Any], depth: int, budget: list[int]) -> Node:
    return AnyOf(_children(data["any"], depth, budget))


def _not(data: Mapping[str, Any], depth: int, budget: list[int]) -> Node:
    return Not(_node(data["not"], depth + 1, budget))


def _trait(data: Mapping[str, Any], _depth: int, _budget: list[int]) -> Node:
    op = _choice(data.get("op"), TRAIT_OPS, "op")
    value = None if op in PRESENCE_OPS else _value(op, data.get("value"))
    return Trait(key=_name(data["trait"], "trait"), op=op, value=value)


def _event(data: Mapping[str, Any], _depth: int, _budget: list[int]) -> Node:
    days, until = _days(data, "days"), _days(data, "until_days")
    if until is not None and days is not None and until >= days:
        raise RuleError(f"until_days must be less than days, got {until} and {days}")
    return EventCount(
        event=_text(data["event"], "event"),
        op=_choice(data.get("op"), COUNT_OPS, "op"),
        n=_finite(data.get("n"), "n"),
        days=days,
        measure=_choice(data.get("measure", "count"), MEASURES, "measure"),
        where=_filters(data),
        until_days=until,
    )


def _first(data: Mapping[str, Any], _depth: int, _budget: list[int]) -> Node:
    return _event_time(data, "first")


def _last(data: Mapping[str, Any], _depth: int, _budget: list[int]) -> Node:
    return _event_time(data, "last")


def _event_time(data: Mapping[str, Any], end: str) -> Node:
    days = _days(data, "value")
    if days is None:
        raise RuleError(f"{end} needs a value: a number of days")
    op = _choice(data.get("op"), AGO_OPS, "op")
    return EventTime(event=_text(data[end], end), end=end, op=op, days=days, where=_filters(data))


def _sent(data: Mapping[str, Any], _depth: int, _budget: list[int]) -> Node:
    return Sent(campaign=_text(data["sent"], "sent"), days=_days(data, "days"))


def _days(data: Mapping[str, Any], name: str) -> float | None:
    if data.get(name) is None:
        return None
    days = _finite(data[name], name)
    if not 0 < days <= MAX_DAYS:
        raise RuleError(f"{name} must be between 0 and {MAX_DAYS}")
    return days


def _filters(data: Mapping[str, Any]) -> tuple[Filter, ...]:
    filters = data.get("where", [])
    if not isinstance(filters, list):
        raise RuleError("where must be a list")
    return tuple(_filter(one) for one in filters)


def _filter(data: Any) -> Filter:
    if not isinstance(data, Mapping) or set(data) != {"property", "op", "value"}:
        raise RuleError("a filter must have property, op and value")
    op = _choice(data["op"], FILTER_OPS, "op")
    return Filter(property=_name(data["property"], "property"), op=op, value=_value(op, data["value"]))


def _in_segment(data: Mapping[str, Any], _depth: int, _budget: list[int]) -> Node:
    return InSegment(_text(data["in_segment"], "in_segment"))


def _consent(data: Mapping[str, Any], _depth: int, _budget: list[int]) -> Node:
    return HasConsent(_text(data["consent"], "consent"))


def _sample(data: Mapping[str, Any], _depth: int, _budget: list[int]) -> Node:
    given = data["sample"]
    if not isinstance(given, Mapping) or set(given) != {"salt", "percent"}:
        raise RuleError("sample must have salt and percent")
    percent = _finite(given["percent"], "percent")
    if not 0 <= percent <= 100:
        raise RuleError("percent must be between 0 and 100")
    return Sample(salt=_text(given["salt"], "salt"), percent=percent)


_READERS: Final = {
    "all": _all,
    "any": _any,
    "not": _not,
    "trait": _trait,
    "event": _event,
    "first": _first,
    "last": _last,
    "sent": _sent,
    "in_segment": _in_segment,
    "consent": _consent,
    "sample": _sample,
}
_KEYS: Final = {
    "all": {"all"},
    "any": {"any"},
    "not": {"not"},
    "trait": {"trait", "op", "value"},
    "event": {"event", "op", "n", "days", "until_days", "measure", "where"},
    "first": {"first", "op", "value", "where"},
    "last": {"last", "op", "value", "where"},
    "sent": {"sent", "days"},
    "in_segment": {"in_segment"},
    "consent": {"consent"},
    "sample": {"sample"},
}


def _value(op: str, value: Any) -> Scalar | tuple[Scalar, ...]:
    if op in SET_OPS:
        if not isinstance(value, list) or not 0 < len(value) <= MAX_VALUES:
            raise RuleError(f"{op} needs a list of 1 to {MAX_VALUES} values")
        return tuple(_scalar(one) for one in value)
    return _scalar(value)


def _scalar(value: Any) -> Scalar:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return _finite(value, "value")
    return _text(value, "value")


def _finite(value: Any, name: str) -> float:
    # Within 2**53 a whole number is the same number in Python, SQLite and PostgreSQL.
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or abs(value) > 2**53:
        raise RuleError(f"{name} must be a number")
    return int(value) if value == int(value) else value


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_VALUE:
        raise RuleError(f"{name} must be a text of 1 to {LONGEST_VALUE} characters")
    if "\x00" in value or any(0xD800 <= ord(one) < 0xE000 for one in value):
        raise RuleError(f"{name} contains a character that cannot be stored")
    return value


def _name(value: Any, name: str) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise RuleError(f"{name} must be a name of letters, digits, blanks and _ . $ -")
    return value


def _choice(value: Any, allowed: tuple[str, ...], name: str) -> str:
    if value not in allowed:
        raise RuleError(f"{name} must be one of {', '.join(allowed)}")
    return str(value)
