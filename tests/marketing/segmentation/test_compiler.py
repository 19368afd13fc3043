"""What the SQL looks like in each dialect; that it means the same is tested in test_equivalence."""

from __future__ import annotations

import re
from typing import Any

import pytest

from marketing.choices import Purpose
from marketing.segmentation.clock import DAY, from_micros, to_micros
from marketing.segmentation.compiler import Condition, Dialect, compile_rule
from marketing.segmentation.rules import RuleError, parse
from marketing.segmentation.vocabulary import SYSTEM_TRAITS, Vocabulary
from tests.factories.marketing import NOW

WORDS = Vocabulary(
    traits=SYSTEM_TRAITS, event_types={"Order Completed": 7}, segments={"buyers": 3}, purposes=Purpose.values
)


def compiled(root: Any, dialect: Dialect = "sqlite") -> Condition:
    return compile_rule(parse({"schema": 1, "root": root}), vocabulary=WORDS, at=100 * DAY, dialect=dialect)


def counted(dialect: Dialect = "sqlite", **more: Any) -> str:
    return compiled({"event": "Order Completed", "op": "gte", "n": 2, "days": 30, **more}, dialect).sql


def test_compile_rule__event_count__groups_once_and_reads_from_the_window_on() -> None:
    condition = compiled({"event": "Order Completed", "op": "gte", "n": 2, "days": 30})

    assert condition.params == (7, 70 * DAY, 2)
    assert "GROUP BY e.profile_id + 0 HAVING count(*) >= %s" in condition.sql
    assert "GROUP BY e.profile_id HAVING" in counted("postgresql")
    assert "GROUP BY" not in counted(n=1)


def test_compile_rule__whole_past__reads_the_activity_instead_of_the_events() -> None:
    condition = compiled({"event": "Order Completed", "op": "lt", "n": 3})

    assert condition.sql == (
        "p.id NOT IN (SELECT a.profile_id FROM marketing_activity a WHERE a.type_id = %s AND NOT (a.n < %s))"
    )


@pytest.mark.parametrize(("dialect", "text"), [("sqlite", "json_type"), ("postgresql", "jsonb_typeof")])
@pytest.mark.parametrize("value", ["blue", 5])
def test_compile_rule__property__is_read_as_its_type(dialect: Dialect, text: str, value: Any) -> None:
    where = [{"property": "color", "op": "eq", "value": value}]

    assert text in counted(dialect, where=where)


@pytest.mark.parametrize(("dialect", "function"), [("sqlite", "instr("), ("postgresql", "strpos(")])
def test_compile_rule__contains__minds_the_case_on_both(dialect: Dialect, function: str) -> None:
    assert function in compiled({"trait": "email", "op": "contains", "value": "x"}, dialect).sql


def test_compile_rule__values__are_parameters_only() -> None:
    evil = "x'; DROP TABLE marketing_event; --"
    root = {
        "any": [
            {"trait": "email", "op": "in", "value": [evil]},
            {"event": evil, "op": "gte", "n": 1},
            {"event": "Order Completed", "op": "gte", "n": 1, "where": [{"property": "c", "op": "eq", "value": evil}]},
        ]
    }
    for dialect in ("sqlite", "postgresql"):
        condition = compiled(root, dialect)
        assert "DROP" not in condition.sql
        assert condition.params.count(evil) == 2
        assert len(re.findall("%s", condition.sql)) == len(condition.params)


def test_compile_rule__unknown_thing__is_refused_before_any_sql() -> None:
    with pytest.raises(RuleError, match="there is no segment strangers"):
        compiled({"in_segment": "strangers"})


def test_clock__moment__survives_the_way_there_and_back() -> None:
    assert from_micros(to_micros(NOW)) == NOW
