"""Rules about declared traits read the index of their values, whatever they compare: never all values of everybody."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection

from marketing.choices import TraitType
from marketing.selectors.segments import condition
from marketing.services.profiles import declare_trait
from tests.factories.marketing import NOW, make_profile

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("rule", "index"),
    [
        ({"trait": "plan", "op": "is_set"}, "marketing_trait_text"),
        ({"trait": "plan", "op": "is_not_set"}, "marketing_trait_text"),
        ({"trait": "plan", "op": "not_in", "value": ["a"]}, "marketing_trait_text"),
        ({"trait": "plan", "op": "contains", "value": "a"}, "marketing_trait_text"),
        ({"trait": "points", "op": "is_set"}, "marketing_trait_number"),
        ({"trait": "points", "op": "gte", "value": 3}, "marketing_trait_number"),
        ({"trait": "points", "op": "ne", "value": 3}, "marketing_trait_number"),
    ],
)
def test_rule_on_a_trait__whatever_it_compares__reads_the_index(rule: dict[str, Any], index: str) -> None:
    declare_trait(key="plan", name="Plan", type_=TraitType.TEXT)
    declare_trait(key="points", name="Points", type_=TraitType.NUMBER)
    for n in range(3):
        make_profile(plan=f"p{n}", points=n)
    where = condition(rule={"schema": 1, "root": rule}, at=NOW)
    is_sqlite = connection.vendor == "sqlite"
    with connection.cursor() as cursor:
        if not is_sqlite:  # so few rows are read whole otherwise
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_bitmapscan = off")
        cursor.execute(
            f"EXPLAIN {'QUERY PLAN ' if is_sqlite else ''}SELECT p.id FROM marketing_profile p WHERE {where.sql}",
            where.params,
        )
        plan = "\n".join(str(row) for row in cursor.fetchall())
    assert index in plan
