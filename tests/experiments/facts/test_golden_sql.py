"""The SQL for warehouses that are not here: compiled, kept as text, and looked at when it changes.

`HOLDOUT_WRITE_GOLDEN=1 pytest tests/experiments/facts/test_golden_sql.py` writes the files anew.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import ibis
import pyarrow as pa
import pytest

from experiments.facts.expressions import event_values, multi_arm_pairs, unit_totals
from tests.experiments.facts.hand_example import KEY, KIND_METRICS, METRICS, UNTIL

GOLDEN = Path(__file__).parent / "golden"
DIALECTS = ("bigquery", "snowflake", "clickhouse", "databricks", "duckdb", "postgres", "sqlite")


class TwoTables:
    """The port's two tables under plain names, on any engine."""

    def exposures(self, *, experiment_key: str, units: ibis.Table | None = None) -> ibis.Table:
        return ibis.table({"unit": "int64", "arm": "string", "phase": "int64", "first_at": "int64"}, name="exposures")

    def events(
        self,
        *,
        event_types: Sequence[str],
        properties: Sequence[str],
        numbers: Sequence[str] = (),
        units: ibis.Table | None = None,
    ) -> ibis.Table:
        columns = {"unit": "int64", "type": "string", "at": "int64", "value": "int64"}
        columns |= {f"property_{name}": "string" for name in properties}
        columns |= {f"number_{name}": "int64" for name in numbers}
        table = ibis.table(columns, name="events")
        found = table.filter(table.type.isin(event_types))
        return found if units is None else found.filter(found.unit.isin(units.unit))

    def population(self, *, at: int) -> ibis.Table:
        raise NotImplementedError

    def compile(self, expression: ibis.Table) -> str:
        raise NotImplementedError

    def execute(self, expression: ibis.Table) -> pa.Table:
        raise NotImplementedError


@pytest.mark.parametrize("dialect", DIALECTS)
def test_sql__dialect__is_the_one_that_was_looked_at(dialect: str) -> None:
    facts = TwoTables()
    expressions = (
        unit_totals(facts, experiment_key=KEY, metrics=METRICS, until=UNTIL),
        unit_totals(facts, experiment_key=KEY, metrics=KIND_METRICS, until=UNTIL),
        event_values(facts, experiment_key=KEY, metric=METRICS[1], until=UNTIL),
        multi_arm_pairs(facts.exposures(experiment_key=KEY), until=UNTIL),
    )
    sql = ";\n\n".join(str(ibis.to_sql(expression, dialect=dialect)) for expression in expressions) + ";\n"
    path = GOLDEN / f"{dialect}.sql"
    if os.environ.get("HOLDOUT_WRITE_GOLDEN"):
        path.write_text(sql)
    assert sql == path.read_text()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_sql__dialect__uses_nothing_that_engines_answer_differently(dialect: str) -> None:
    sql = (GOLDEN / f"{dialect}.sql").read_text().upper()
    for word in ("STDDEV", "VAR_", "PERCENTILE", "MEDIAN", "APPROX", "UNIQ(", "DOUBLE", "FLOAT"):
        assert word not in sql
