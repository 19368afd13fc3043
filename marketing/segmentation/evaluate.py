"""A rule in plain Python, for one person: the reading that the SQL must agree with, and the explanation of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from marketing.segmentation.clock import DAY
from marketing.segmentation.rules import (
    AGO_OPS,
    SET_OPS,
    All,
    AnyOf,
    EventCount,
    Filter,
    HasConsent,
    InSegment,
    Node,
    Not,
    Trait,
)
from marketing.segmentation.vocabulary import (
    TEXT_PROPERTIES,
    VALUE_PROPERTIES,
    Kind,
    TraitSpec,
    as_text,
    compare,
    micro,
    stored,
    values_of,
)


@dataclass(frozen=True, slots=True)
class Deed:
    """One event of the person: `value` in millionths, `texts` the properties that are columns."""

    event: str
    at: int
    value: int | None = None
    texts: Mapping[str, str] = field(default_factory=dict)
    props: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Person:
    """What is known of one person; a missing trait is missing from `traits`."""

    traits: Mapping[str, Any]
    deeds: Sequence[Deed]
    segments: Collection[str]
    consents: Collection[str]
    sample_bucket: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """One node: whether it holds, the value that was compared (None: there is none, or it has parts)."""

    node: Node
    holds: bool
    value: Any = None
    parts: tuple[Explanation, ...] = ()


def matches(node: Node, person: Person, *, traits: Mapping[str, TraitSpec], at: int) -> bool:
    """Tell whether the rule is true of the person at that moment."""
    return explain(node, person, traits=traits, at=at).holds


def explain(node: Node, person: Person, *, traits: Mapping[str, TraitSpec], at: int) -> Explanation:
    """Return the rule as a tree of ✓ and ✗ with the values that decided."""

    def below(child: Node) -> Explanation:
        return explain(child, person, traits=traits, at=at)

    match node:
        case All(children):
            parts = tuple(below(child) for child in children)
            return Explanation(node, all(part.holds for part in parts), parts=parts)
        case AnyOf(children):
            parts = tuple(below(child) for child in children)
            return Explanation(node, any(part.holds for part in parts), parts=parts)
        case Not(child):
            part = below(child)
            return Explanation(node, not part.holds, parts=(part,))
        case Trait(key):
            value = person.traits.get(key)
            return Explanation(node, _trait_holds(node, value, traits[key].kind, at), value)
        case EventCount():
            measured = _measured(node, person, at)
            bound = micro(node.n) if node.measure == "sum" else node.n
            return Explanation(node, compare(node.op, measured, bound), measured)
        case InSegment(slug):
            return Explanation(node, slug in person.segments)
        case HasConsent(purpose):
            return Explanation(node, purpose in person.consents)
        case _:
            return Explanation(node, person.sample_bucket in node.buckets, person.sample_bucket)


def _trait_holds(node: Trait, value: Any, kind: Kind, at: int) -> bool:
    if value is None:
        return node.op == "is_not_set"
    if node.op in ("is_set", "is_not_set"):
        return node.op == "is_set"
    if node.op in AGO_OPS:
        assert isinstance(node.value, int | float)  # checked
        bound = at // DAY - int(node.value) if kind == Kind.DATE else at - round(node.value * DAY)
        return bool(value >= bound) == (node.op == "within_days")
    values = tuple(stored(kind, one) for one in values_of(node.value))
    return compare(node.op, value, values if node.op in SET_OPS else values[0])


def _measured(node: EventCount, person: Person, at: int) -> int:
    since = None if node.days is None else at - round(node.days * DAY)
    deeds = [
        deed
        for deed in person.deeds
        if deed.event == node.event
        and (since is None or deed.at >= since)
        and all(_passes(filter_, deed) for filter_ in node.where)
    ]
    return sum(deed.value or 0 for deed in deeds) if node.measure == "sum" else len(deeds)


def _passes(node: Filter, deed: Deed) -> bool:
    values: tuple[Any, ...] = values_of(node.value)
    if node.property in VALUE_PROPERTIES:
        given: Any = deed.value
        values = tuple(micro(one) for one in values)
    elif node.property in TEXT_PROPERTIES:
        given = deed.texts.get(TEXT_PROPERTIES[node.property]) or None
        values = tuple(as_text(one) for one in values)
    elif isinstance(values[0], str | bool):
        given = deed.props.get(node.property)
        given = as_text(given) if isinstance(given, str | bool) else None
        values = tuple(as_text(one) for one in values)
    else:
        given = deed.props.get(node.property)
        given = given if isinstance(given, int | float) and not isinstance(given, bool) else None
    return given is not None and compare(node.op, given, values if node.op in SET_OPS else values[0])
