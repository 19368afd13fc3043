"""A rule in plain Python, for one person: the reading that the SQL must agree with, and the explanation of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any

from marketing.segmentation.clock import DAY
from marketing.segmentation.rules import (
    AGO_OPS,
    SET_OPS,
    All,
    AnyOf,
    EventCount,
    EventTime,
    Filter,
    HasConsent,
    InSegment,
    Node,
    Not,
    Sample,
    Sent,
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
class Total:
    """All that the person ever did of one kind, archived events included; `total` in millionths."""

    n: int
    total: int
    first_at: int
    last_at: int


@dataclass(frozen=True, slots=True)
class Person:
    """What is known of one person; a missing trait is missing from `traits`.

    `sent` has the moments at which each campaign's messages were handed over.
    """

    traits: Mapping[str, Any]
    deeds: Sequence[Deed]
    segments: Collection[str]
    consents: Collection[str]
    sample_bucket: int
    totals: Mapping[str, Total] = field(default_factory=dict)
    sent: Mapping[str, Sequence[int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Explanation:
    """One node: whether it holds, the value that was compared (None: there is none, or it has parts).

    `flips` are the moments at which that changes by itself, because time passes, the next one first.
    """

    node: Node
    holds: bool
    value: Any = None
    parts: tuple[Explanation, ...] = ()
    flips: tuple[int, ...] = ()


def matches(node: Node, person: Person, *, traits: Mapping[str, TraitSpec], at: int) -> bool:
    """Tell whether the rule is true of the person at that moment."""
    return explain(node, person, traits=traits, at=at).holds


def explain(node: Node, person: Person, *, traits: Mapping[str, TraitSpec], at: int) -> Explanation:
    """Return the rule as a tree of ✓ and ✗ with the values that decided, and when that changes by itself."""

    def below(child: Node) -> Explanation:
        return explain(child, person, traits=traits, at=at)

    match node:
        case All(children):
            return _joined(node, tuple(below(child) for child in children), all)
        case AnyOf(children):
            return _joined(node, tuple(below(child) for child in children), any)
        case Not(child):
            part = below(child)
            return Explanation(node, not part.holds, parts=(part,), flips=part.flips)
        case Trait(key):
            value = person.traits.get(key)
            kind = traits[key].kind
            return Explanation(
                node, _trait_holds(node, value, kind, at), value, flips=_trait_flips(node, value, kind, at)
            )
        case _:
            return _explain_fact(node, person, at)


def _explain_fact(node: Node, person: Person, at: int) -> Explanation:
    """A condition that is no trait and has no parts."""
    match node:
        case EventCount():
            return _counted(node, person, at)
        case EventTime():
            return _timed(node, person, at)
        case Sent():
            return _handed_over(node, person, at)
        case InSegment(slug):
            return Explanation(node, slug in person.segments)
        case HasConsent(purpose):
            return Explanation(node, purpose in person.consents)
        case Sample():
            return Explanation(node, person.sample_bucket in node.buckets, person.sample_bucket)
        case _:
            raise TypeError(f"there is no condition {type(node).__name__}")


def _joined(node: Node, parts: tuple[Explanation, ...], decide: Callable[[Iterable[bool]], bool]) -> Explanation:
    """Several parts as one, through all the moments at which one of them changes."""
    states = [part.holds for part in parts]
    holds = known = decide(states)
    turns = sorted((moment, index) for index, part in enumerate(parts) for moment in part.flips)
    flips = []
    for moment, group in groupby(turns, key=itemgetter(0)):
        for _, index in group:
            states[index] = not states[index]
        if decide(states) != known:
            known = not known
            flips.append(moment)
    return Explanation(node, holds, parts=parts, flips=tuple(flips))


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


def _trait_flips(node: Trait, value: Any, kind: Kind, at: int) -> tuple[int, ...]:
    if value is None or node.op not in AGO_OPS:
        return ()
    assert isinstance(node.value, int | float)  # checked
    if kind == Kind.DATE:
        return _later(at, (int(value) + int(node.value) + 1) * DAY)
    return _later(at, value + round(node.value * DAY) + 1)


def _later(at: int, moment: int) -> tuple[int, ...]:
    return (moment,) if moment > at else ()


def _counted(node: EventCount, person: Person, at: int) -> Explanation:
    bound = micro(node.n) if node.measure == "sum" else node.n
    if node.days is None and node.until_days is None and not node.where:
        total = person.totals.get(node.event)
        measured = 0 if total is None else total.total if node.measure == "sum" else total.n
        return Explanation(node, compare(node.op, measured, bound), measured)
    since = None if node.days is None else at - round(node.days * DAY)
    until = None if node.until_days is None else at - round(node.until_days * DAY)
    measured, turns = 0, []
    for deed in _deeds(node.event, node.where, person):
        weight = (deed.value or 0) if node.measure == "sum" else 1
        has_left = since is not None and deed.at < since
        is_waiting = until is not None and deed.at >= until
        if not has_left and not is_waiting:
            measured += weight
        if is_waiting and node.until_days is not None:
            turns.append((deed.at + round(node.until_days * DAY) + 1, weight))
        if not has_left and node.days is not None:
            turns.append((deed.at + round(node.days * DAY) + 1, -weight))
    holds = known = compare(node.op, measured, bound)
    flips, running = [], measured
    for moment, group in groupby(sorted(turns), key=itemgetter(0)):
        running += sum(weight for _, weight in group)
        if compare(node.op, running, bound) != known:
            known = not known
            flips.append(moment)
    return Explanation(node, holds, measured, flips=tuple(flips))


def _timed(node: EventTime, person: Person, at: int) -> Explanation:
    total = person.totals.get(node.event)
    if node.where:
        moments = [deed.at for deed in _deeds(node.event, node.where, person)]
    else:
        moments = [] if total is None else [total.first_at, total.last_at]
    if not moments:
        return Explanation(node, holds=False)
    value = min(moments) if node.end == "first" else max(moments)
    reach = round(node.days * DAY)
    holds = (value >= at - reach) == (node.op == "within_days")
    return Explanation(node, holds, value, flips=_later(at, value + reach + 1))


def _handed_over(node: Sent, person: Person, at: int) -> Explanation:
    moments = person.sent.get(node.campaign, ())
    if not moments:
        return Explanation(node, holds=False)
    last = max(moments)
    if node.days is None:
        return Explanation(node, holds=True, value=last)
    reach = round(node.days * DAY)
    return Explanation(node, last >= at - reach, last, flips=_later(at, last + reach + 1))


def _deeds(event: str, filters: Sequence[Filter], person: Person) -> list[Deed]:
    return [deed for deed in person.deeds if deed.event == event and all(_passes(one, deed) for one in filters)]


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
