from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from experiments.targeting.tree import (
    EVERYONE,
    MAX_DEPTH,
    All,
    AnyOf,
    Condition,
    Not,
    Rule,
    attributes_of,
    decode,
    encode,
    parse,
    to_json,
)
from tests.experiments.targeting.strategies import rules


@given(rule=rules)
def test_parse__json_of_a_rule__gives_the_rule_back(rule: Rule) -> None:
    assert parse(to_json(rule)) == rule
    assert decode(encode(rule)) == rule


@pytest.mark.parametrize("value", [{}, {"schema": 1}, {"schema": 1, "rule": {}}])
def test_decode__nothing_asked__everyone(value: dict[str, Any]) -> None:
    assert decode(value) == EVERYONE


def test_encode__everyone__empty() -> None:
    assert encode(EVERYONE) == {}


def test_decode__unknown_schema__refused() -> None:
    with pytest.raises(ValueError, match="schema must be 1, got 2"):
        decode({"schema": 2, "rule": {}})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "a rule must be an object"),
        ({"some": []}, "a rule must be all, any, not"),
        ({"all": [], "any": []}, "a rule must be all, any, not"),
        ({"all": "x"}, "hold a list"),
        ({"any": []}, "at least one"),
        ({"attribute": "a.b", "op": "eq", "value": 1}, "attribute must be a name"),
        ({"attribute": "$or", "op": "eq", "value": 1}, "attribute must be a name"),
        ({"attribute": "a\n", "op": "eq", "value": 1}, "attribute must be a name"),
        ({"attribute": 1, "op": "eq", "value": 1}, "attribute must be a name"),
        ({"attribute": "a", "op": "is", "value": 1}, "op must be one of"),
        ({"attribute": "a", "op": [], "value": 1}, "op must be one of"),
        ({"attribute": "a", "op": "in", "value": "x"}, "needs a list"),
        ({"attribute": "a", "op": "in", "value": [None]}, "value must be"),
        ({"attribute": "a", "op": "eq", "value": None}, "value must be"),
        ({"attribute": "a", "op": "eq", "value": [1]}, "value must be"),
        ({"attribute": "a", "op": "eq", "value": float("inf")}, "value must be"),
        ({"attribute": "a", "op": "exists", "value": 1}, "exists needs true or false"),
        ({"attribute": "a", "op": "gt", "value": True}, "needs a number or a text"),
    ],
)
def test_parse__mistake__named(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(value)


def test_parse__too_deep__refused() -> None:
    value: dict[str, Any] = {}
    for _ in range(MAX_DEPTH + 1):
        value = {"not": value}
    with pytest.raises(ValueError, match="at most 20 levels"):
        parse(value)


def test_parse__too_many__refused() -> None:
    with pytest.raises(ValueError, match="1000 conditions"):
        parse({"all": [{"attribute": "a", "op": "eq", "value": 1}] * 1_000})


def test_attributes_of__tree__sorted_without_repeats() -> None:
    rule = AnyOf((All((Condition("b", "eq", 1), Condition("a", "eq", 1))), Not(Condition("b", "exists", True))))
    assert attributes_of(rule) == ("a", "b")
