"""The Python form of a rule. What each operator means is written in the package's docstring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments.targeting.tree import All, AnyOf, Condition, Rule, Scalar


def matches(rule: Rule, attributes: Mapping[str, Any]) -> bool:
    """Whether a unit with these attributes is targeted.

    >>> matches(Condition("country", "ne", "DE"), {})
    True
    >>> matches(Condition("segments", "contains", "vip"), {"segments": ["new", "vip"]})
    True
    """
    match rule:
        case Condition():
            return _holds(rule, attributes.get(rule.attribute))
        case All(rules):
            return all(matches(child, attributes) for child in rules)
        case AnyOf(rules):
            return any(matches(child, attributes) for child in rules)
        case _:
            return not matches(rule.rule, attributes)


def _holds(condition: Condition, actual: object) -> bool:
    op, value = condition.op, condition.value
    if op == "exists":
        return (actual is not None) is value
    if isinstance(value, tuple):
        return _is_in(actual, value) is (op == "in")
    if op == "contains":
        return isinstance(actual, list | tuple) and any(_equal(element, value) for element in actual)
    if op in ("eq", "ne"):
        return _equal(actual, value) is (op == "eq")
    return _ordered(actual, op, value)


def _equal(actual: object, value: Scalar) -> bool:
    return isinstance(actual, bool) is isinstance(value, bool) and bool(actual == value)


def _is_in(actual: object, values: tuple[Scalar, ...]) -> bool:
    if isinstance(actual, list | tuple):
        return any(_equal(element, value) for element in actual for value in values)
    return any(_equal(actual, value) for value in values)


def _ordered(actual: object, op: str, value: Scalar) -> bool:
    left: Any
    right: Any
    if isinstance(actual, str) and isinstance(value, str):
        # Big-endian UTF-16 bytes sort like code units, which is how JavaScript compares.
        left, right = (text.encode("utf-16-be", "surrogatepass") for text in (actual, value))
    elif isinstance(actual, int | float) and not isinstance(actual, bool) and not isinstance(value, str):
        left, right = actual, value
    else:
        return False
    if op == "gt":
        return bool(left > right)
    if op == "gte":
        return bool(left >= right)
    if op == "lt":
        return bool(left < right)
    return bool(left <= right)
