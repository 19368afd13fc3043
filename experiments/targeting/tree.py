"""The rule as a tree of frozen nodes, and its JSON form.

JSON: ``{"all": [rule, …]}``, ``{"any": [rule, …]}``, ``{"not": rule}`` or
``{"attribute": name, "op": operator, "value": value}``; ``{}`` is everyone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

SCHEMA = 1
MAX_DEPTH = 20
"""Deeper trees are refused: nobody reads them, and recursion must end."""
MAX_NODES = 1_000
"""Larger trees are refused: every decision evaluates them."""

EQUALITY = ("eq", "ne")
MEMBERSHIP = ("in", "not_in")
ORDER = ("gt", "gte", "lt", "lte")
OPERATORS = (*EQUALITY, *MEMBERSHIP, *ORDER, "exists", "contains")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_\-]{0,99}\Z")
# No database keeps these, so that no stored text could equal them.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

Scalar: TypeAlias = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Condition:
    attribute: str
    op: str
    value: Scalar | tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class All:
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True)
class AnyOf:
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Not:
    rule: Rule


Rule: TypeAlias = Condition | All | AnyOf | Not

EVERYONE = All()


def decode(value: Mapping[str, Any]) -> Rule:
    """Read the stored form, ``{"schema": 1, "rule": …}``; an empty object is everyone.

    Raises `ValueError` for an unknown schema and for a rule that breaks the grammar.

    >>> decode({"schema": 1, "rule": {"attribute": "country", "op": "eq", "value": "DE"}})
    Condition(attribute='country', op='eq', value='DE')
    """
    if not value:
        return EVERYONE
    if value.get("schema") != SCHEMA:
        raise ValueError(f"schema must be {SCHEMA}, got {value.get('schema')!r}")
    return parse(value.get("rule", {}))


def encode(rule: Rule) -> dict[str, Any]:
    """The stored form of a rule.

    >>> encode(Not(Condition("age", "lt", 18)))
    {'schema': 1, 'rule': {'not': {'attribute': 'age', 'op': 'lt', 'value': 18}}}
    """
    return {} if rule == EVERYONE else {"schema": SCHEMA, "rule": to_json(rule)}


def parse(value: object) -> Rule:
    """Read a bare rule; every mistake is a `ValueError` that names it."""
    return _Parser().rule(value, depth=0)


def to_json(rule: Rule) -> dict[str, Any]:
    """The bare JSON form of a rule."""
    match rule:
        case Condition(attribute, op, operand):
            return {"attribute": attribute, "op": op, "value": list(operand) if isinstance(operand, tuple) else operand}
        case All(rules):
            return {"all": [to_json(child) for child in rules]}
        case AnyOf(rules):
            return {"any": [to_json(child) for child in rules]}
        case _:
            return {"not": to_json(rule.rule)}


def attributes_of(rule: Rule) -> tuple[str, ...]:
    """The names of the attributes a rule reads, sorted.

    >>> attributes_of(All((Condition("b", "eq", 1), Not(Condition("a", "exists", True)))))
    ('a', 'b')
    """
    match rule:
        case Condition(attribute):
            return (attribute,)
        case Not(child):
            return attributes_of(child)
        case _:
            return tuple(sorted({name for child in rule.rules for name in attributes_of(child)}))


def values_of(rule: Rule, attribute: str) -> frozenset[Scalar]:
    """What a rule compares one attribute with.

    >>> sorted(values_of(AnyOf((Condition("a", "contains", "x"), Not(Condition("a", "in", ("y", "z"))))), "a"))
    ['x', 'y', 'z']
    """
    match rule:
        case Condition():
            values = rule.value if isinstance(rule.value, tuple) else (rule.value,)
            return frozenset(values if rule.attribute == attribute else ())
        case Not(child):
            return values_of(child, attribute)
        case _:
            return frozenset(value for child in rule.rules for value in values_of(child, attribute))


class _Parser:
    def __init__(self) -> None:
        self._nodes = 0

    def rule(self, value: object, *, depth: int) -> Rule:
        self._nodes += 1
        if depth > MAX_DEPTH or self._nodes > MAX_NODES:
            raise ValueError(f"a rule must have at most {MAX_DEPTH} levels and {MAX_NODES} conditions")
        if not isinstance(value, Mapping):
            raise ValueError(f"a rule must be an object, got {value!r}")  # noqa: TRY004 (bad data, not a bad call)
        if not value:
            return EVERYONE
        keys = set(value)
        if keys == {"all"}:
            return All(self._rules(value["all"], depth=depth))
        if keys == {"any"}:
            rules = self._rules(value["any"], depth=depth)
            if not rules:
                raise ValueError("any must list at least one rule")
            return AnyOf(rules)
        if keys == {"not"}:
            return Not(self.rule(value["not"], depth=depth + 1))
        if keys == {"attribute", "op", "value"}:
            return _condition(value["attribute"], value["op"], value["value"])
        raise ValueError(f"a rule must be all, any, not or attribute/op/value, got {sorted(map(str, keys))}")

    def _rules(self, value: object, *, depth: int) -> tuple[Rule, ...]:
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise ValueError(f"all and any must hold a list, got {value!r}")  # noqa: TRY004 (bad data, not a bad call)
        return tuple(self.rule(child, depth=depth + 1) for child in value)


def _condition(attribute: object, op: object, value: object) -> Condition:
    if not isinstance(attribute, str) or not _NAME.match(attribute):
        raise ValueError(f"attribute must be a name of letters, digits, _ and -, got {attribute!r}")
    if op not in OPERATORS:
        raise ValueError(f"op must be one of {', '.join(OPERATORS)}, got {op!r}")
    assert isinstance(op, str)
    if op in MEMBERSHIP:
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise ValueError(f"{op} needs a list of values, got {value!r}")
        return Condition(attribute, op, tuple(_scalar(element) for element in value))
    scalar = _scalar(value)
    if op == "exists" and not isinstance(scalar, bool):
        raise ValueError(f"exists needs true or false, got {value!r}")
    if op in ORDER and isinstance(scalar, bool):
        raise ValueError(f"{op} needs a number or a text, got {value!r}")
    return Condition(attribute, op, scalar)


def _scalar(value: object) -> Scalar:
    if isinstance(value, str) and _UNSTORABLE.search(value):
        raise ValueError(f"value must be a text without NUL characters and half surrogate pairs, got {value!r}")
    if isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise ValueError(f"value must be a text, a finite number, true or false, got {value!r}")
