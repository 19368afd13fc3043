"""The hand example on every engine that runs here: the same expressions, the same integers.

BigQuery and Snowflake cannot run here; their SQL is looked at instead (`test_golden_sql`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from experiments.facts.expressions import event_values, multi_arm_pairs, unit_totals
from tests.experiments.facts.hand_example import (
    EVENTS,
    EXPECTED,
    EXPOSURES,
    KEY,
    KIND_METRICS,
    METRICS,
    MULTI_ARM,
    ORDER_VALUES,
    UNTIL,
    kinds_expected,
)
from tests.experiments.facts.test_golden_sql import TwoTables

Run = Callable[[str], list[tuple[Any, ...]]]
EXPOSURE_SCHEMA = pa.schema(
    [("unit", pa.int64()), ("arm", pa.string()), ("phase", pa.int64()), ("first_at", pa.int64())]
)
EVENT_SCHEMA = pa.schema(
    [
        ("unit", pa.int64()),
        ("type", pa.string()),
        ("at", pa.int64()),
        ("value", pa.int64()),
        ("property_experiment", pa.string()),
        ("property_product", pa.string()),
        ("number_quantity", pa.int64()),
    ]
)
TABLES: dict[str, tuple[pa.Schema, Sequence[tuple[Any, ...]]]] = {
    "exposures": (EXPOSURE_SCHEMA, EXPOSURES),
    "events": (EVENT_SCHEMA, EVENTS),
}


def check(run: Run, dialect: str) -> None:
    """Every expression gives what was computed by hand."""
    facts = TwoTables()
    orders = METRICS[0]
    wanted = [
        (unit_totals(facts, experiment_key=KEY, metrics=METRICS, until=UNTIL), EXPECTED),
        (unit_totals(facts, experiment_key=KEY, metrics=KIND_METRICS, until=UNTIL), kinds_expected()),
        (event_values(facts, experiment_key=KEY, metric=orders, until=UNTIL), ORDER_VALUES),
        (multi_arm_pairs(facts.exposures(experiment_key=KEY), until=UNTIL), MULTI_ARM),
    ]
    for expression, rows in wanted:
        assert run(str(ibis.to_sql(expression, dialect=dialect))) == rows


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, (schema, rows) in TABLES.items():
        columns = [
            pa.array(values, type=kind) for values, kind in zip(zip(*rows, strict=True), schema.types, strict=True)
        ]
        pq.write_table(pa.Table.from_arrays(columns, schema=schema), tmp_path / f"{name}.parquet")
    return tmp_path


def test_engines__sqlite__gives_the_computed_integers() -> None:
    connection = sqlite3.connect(":memory:")
    for name, (schema, rows) in TABLES.items():
        connection.execute(f"CREATE TABLE {name} ({', '.join(schema.names)})")
        connection.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(schema.names))})", rows)
    check(lambda sql: connection.execute(sql).fetchall(), "sqlite")


def test_engines__duckdb__gives_the_computed_integers(folder: Path) -> None:
    import duckdb

    with duckdb.connect() as connection:
        for name in TABLES:
            connection.read_parquet(str(folder / f"{name}.parquet")).create_view(name)
        check(lambda sql: connection.execute(sql).fetchall(), "duckdb")


def test_engines__clickhouse__gives_the_computed_integers(folder: Path) -> None:
    chdb = pytest.importorskip("chdb.session")
    session = chdb.Session()
    session.query("CREATE DATABASE hand")
    session.query("USE hand")
    for name, (schema, _) in TABLES.items():
        kinds = {"int64": "Int64", "string": "String"}
        columns = ", ".join(f"{field.name} Nullable({kinds[str(field.type)]})" for field in schema)
        session.query(f"CREATE TABLE {name} ({columns}) ENGINE = Memory")
        session.query(f"INSERT INTO {name} SELECT * FROM file('{folder / name}.parquet', Parquet)")

    def run(sql: str) -> list[tuple[Any, ...]]:
        # Without it, ClickHouse fills the missing side of a left join with zeros instead of NULL.
        found = session.query(f"{sql} SETTINGS join_use_nulls = 1", "ArrowTable")
        return [tuple(row.values()) for row in found.to_pylist()]

    try:
        check(run, "clickhouse")
    finally:
        session.close()


@pytest.fixture
def spark() -> Iterator[Any]:
    module = pytest.importorskip("pyspark.sql")
    session = (
        module.SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    yield session
    session.stop()


@pytest.mark.java
@pytest.mark.extra("pyspark")
@pytest.mark.slow
def test_engines__spark__gives_the_computed_integers(spark: Any, folder: Path) -> None:
    for name in TABLES:
        spark.read.parquet(str(folder / f"{name}.parquet")).createOrReplaceTempView(name)
    check(lambda sql: [tuple(row) for row in spark.sql(sql).collect()], "databricks")
