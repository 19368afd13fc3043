"""Why a rule matches or does not: each of its nodes with its own answer, for people to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from experiments.targeting.evaluate import matches
from experiments.targeting.tree import All, AnyOf, Condition, Not, Rule


@dataclass(frozen=True, slots=True)
class Line:
    """One node: `kind` is all, any, not or an operator; a condition names its attribute, value and actual value."""

    depth: int
    kind: str
    holds: bool
    attribute: str = ""
    value: Any = None
    actual: Any = None

    @property
    def indent(self) -> str:
        """Dots that show the depth."""
        return "· " * self.depth

    @property
    def value_text(self) -> str:
        """The value as people write it."""
        return ", ".join(map(str, self.value)) if isinstance(self.value, tuple) else str(self.value)


def explain(rule: Rule, attributes: Mapping[str, Any]) -> tuple[Line, ...]:
    """The nodes of a rule from the root down, the children of each after it.

    >>> [(line.depth, line.kind, line.holds) for line in explain(Not(Condition("age", "lt", 18)), {"age": 30})]
    [(0, 'not', True), (1, 'lt', False)]
    """
    return tuple(_lines(rule, attributes, depth=0))


def _lines(rule: Rule, attributes: Mapping[str, Any], *, depth: int) -> Iterator[Line]:
    holds = matches(rule, attributes)
    if isinstance(rule, Condition):
        actual = attributes.get(rule.attribute)
        yield Line(depth, rule.op, holds, attribute=rule.attribute, value=rule.value, actual=actual)
        return
    kinds: dict[type[Rule], str] = {All: "all", AnyOf: "any", Not: "not"}
    yield Line(depth, kinds[type(rule)], holds)
    for child in (rule.rule,) if isinstance(rule, Not) else rule.rules:
        yield from _lines(child, attributes, depth=depth + 1)
