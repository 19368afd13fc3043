from __future__ import annotations

from typing import Any

import growthbook.core
import pytest
from hypothesis import given, settings

from experiments.targeting.clients import to_condition
from experiments.targeting.evaluate import matches
from experiments.targeting.tree import Condition, Rule, parse
from tests.experiments.targeting.strategies import people, rules

MISSING: dict[str, Any] = {}


@given(rule=rules, person=people)
@settings(max_examples=500)
def test_matches__any_rule_and_person__equals_the_client(rule: Rule, person: dict[str, Any]) -> None:
    assert matches(rule, person) is growthbook.core.evalCondition(person, to_condition(rule))


@pytest.mark.parametrize(
    ("op", "value", "expected"),
    [
        ("eq", "DE", False),
        ("ne", "DE", True),
        ("in", ["DE"], False),
        ("not_in", ["DE"], True),
        ("gt", 0, False),
        ("gte", 0, False),
        ("lt", 0, False),
        ("lte", 0, False),
        ("contains", "DE", False),
        ("exists", True, False),
        ("exists", False, True),
    ],
)
@pytest.mark.parametrize("person", [MISSING, {"country": None}])
def test_matches__missing_attribute__as_written(op: str, value: object, expected: bool, person: dict[str, Any]) -> None:
    assert matches(parse({"attribute": "country", "op": op, "value": value}), person) is expected


@pytest.mark.parametrize(
    ("actual", "op", "value", "expected"),
    [
        (1, "eq", True, False),
        (True, "eq", 1, False),
        (1, "eq", "1", False),
        (1.0, "eq", 1, True),
        ("10", "gt", 9, False),
        (10, "gt", 9, True),
        (9, "gte", 9, True),
        (8, "lt", 9, True),
        (9, "lte", 9, True),
        (True, "gte", 0, False),
        ("b", "gt", "a", True),
        ("\uffee", "gt", "😀", True),  # by code units, as JavaScript does; by code points it would be below
        (["a", "b"], "contains", "a", True),
        ("ab", "contains", "a", False),
        (["a", "b"], "in", ("b", "c"), True),
        (["a", "b"], "not_in", ("b", "c"), False),
        (["a"], "eq", "a", False),
        ({"a": 1}, "eq", "a", False),
    ],
)
def test_matches__types__never_mix(actual: object, op: str, value: Any, expected: bool) -> None:
    assert matches(Condition("x", op, value), {"x": actual}) is expected
