from __future__ import annotations

from typing import Any

from hypothesis import given

from experiments.targeting.evaluate import matches
from experiments.targeting.explain import Line, explain
from experiments.targeting.tree import Rule, parse
from tests.experiments.targeting.strategies import people, rules


def test_explain__tree__every_node_with_its_own_answer() -> None:
    rule = parse(
        {
            "all": [
                {"any": [{"attribute": "country", "op": "in", "value": ["DE", "AT"]}]},
                {"not": {"attribute": "age", "op": "lt", "value": 18}},
            ]
        }
    )
    assert explain(rule, {"country": "FR"}) == (
        Line(0, "all", False),
        Line(1, "any", False),
        Line(2, "in", False, "country", ("DE", "AT"), "FR"),
        Line(1, "not", True),
        Line(2, "lt", False, "age", 18, None),
    )
    assert [line.value_text for line in explain(rule, {}) if line.attribute] == ["DE, AT", "18"]
    assert [line.indent for line in explain(rule, {})] == ["", "· ", "· · ", "· ", "· · "]


@given(rule=rules, person=people)
def test_explain__any_rule__first_line_is_the_answer(rule: Rule, person: dict[str, Any]) -> None:
    assert explain(rule, person)[0].holds is matches(rule, person)
