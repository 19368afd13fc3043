"""From events to per-unit totals: the one expression against SQL written by hand, on each engine.

    python benchmarks/analysis_facts.py [--events 1000000] [--people 100000] [--engines sqlite duckdb postgres]

One outcome with an exposure window and a covariate, then five metrics with covariates. CPU seconds of
this process (and, for PostgreSQL, wall seconds, because the server's CPU is not ours). Every engine must
return the same integers, or the benchmark stops.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("HOLDOUT_DATA_DIR", tempfile.mkdtemp(prefix="holdout-benchmark-"))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django

django.setup()

from experiments.facts.expressions import DAY, PlannedMetric, unit_totals  # noqa: E402 - Django first
from experiments.ports import MICRO, MetricDefinition  # noqa: E402 - Django first

if TYPE_CHECKING:
    import ibis

UNTIL = 200 * DAY
# Those of the record (design.md). Without the second, SQLite reads a whole period for each person.
INDEXES = ("type, at, unit", "unit, type, at")
EVENT_TYPES = ("Order Completed", "Product Viewed", "Recommendation Clicked")
HAND = """
WITH first AS (
  SELECT unit, MIN(arm) AS arm, MAX(arm) AS last_arm, MIN(phase) AS phase, MIN(first_at) AS first_at
  FROM exposures WHERE first_at < {until} GROUP BY unit
), clean AS (SELECT * FROM first WHERE arm = last_arm), outcome AS (
  SELECT e.unit,
    SUM(CASE WHEN e.at >= c.first_at AND e.at < c.first_at + {window} THEN COALESCE(e.value, 0) ELSE 0 END) AS total,
    SUM(CASE WHEN e.at >= c.first_at - {back} AND e.at < c.first_at THEN COALESCE(e.value, 0) ELSE 0 END) AS before
  FROM events e JOIN clean c ON c.unit = e.unit
  WHERE e.type = 'Order Completed' AND e.at >= c.first_at - {back} AND e.at < c.first_at + {window} AND e.at < {until}
  GROUP BY e.unit
)
SELECT c.unit, c.arm, c.phase, c.first_at, COALESCE(o.total, 0), COALESCE(o.before, 0)
FROM clean c LEFT JOIN outcome o ON o.unit = c.unit ORDER BY c.unit
""".format(until=UNTIL, window=7 * DAY, back=14 * DAY)


def metric(index: int, *, aggregation: str = "sum", event_type: str = "Order Completed") -> PlannedMetric:
    definition = MetricDefinition(
        (event_type,),
        aggregation,  # type: ignore[arg-type]  # one of the three, chosen below
        window_hours=168,
        lookback_days=14,
        scale=MICRO,
    )
    return PlannedMetric(index, f"m{index}", definition)


FIVE = [
    metric(0),
    metric(1, aggregation="exists"),
    metric(2, aggregation="count"),
    metric(3, aggregation="exists", event_type="Recommendation Clicked"),
    metric(4, aggregation="count", event_type="Product Viewed"),
]


class BareFacts:
    """Two plain tables on one engine; `run` executes SQL and returns rows in columns."""

    def __init__(self, dialect: str, run: Callable[[str], Sequence[Sequence[object]]]) -> None:
        self.dialect = dialect
        self.run = run

    def exposures(self, *, experiment_key: str, units: ibis.Table | None = None) -> ibis.Table:
        import ibis

        return ibis.table({"unit": "int64", "arm": "string", "phase": "int64", "first_at": "int64"}, name="exposures")

    def events(
        self,
        *,
        event_types: Sequence[str],
        properties: Sequence[str],
        numbers: Sequence[str] = (),
        units: ibis.Table | None = None,
    ) -> ibis.Table:
        import ibis

        table = ibis.table({"unit": "int64", "type": "string", "at": "int64", "value": "int64"}, name="events")
        return table.filter(table.type.isin(event_types))

    def population(self, *, at: int) -> ibis.Table:
        raise NotImplementedError("the benchmark surveys nobody")

    def compile(self, expression: ibis.Table) -> str:
        import ibis

        return str(ibis.to_sql(expression, dialect=self.dialect))

    def execute(self, expression: ibis.Table) -> pa.Table:
        raise NotImplementedError("the benchmark runs the SQL itself")


def make_tables(people: int, events: int, seed: int) -> tuple[pa.Table, pa.Table]:
    rng = np.random.default_rng(seed)
    units = np.arange(people)
    exposures = pa.table(
        {
            "unit": units,
            "arm": np.where(rng.random(people) < 0.5, "control", "treatment"),
            "phase": np.ones(people, dtype=np.int64),
            "first_at": rng.integers(30 * DAY, 150 * DAY, people),
        }
    )
    kinds = rng.choice(3, events, p=[0.1, 0.8, 0.1])
    return exposures, pa.table(
        {
            "unit": rng.integers(0, people, events),
            "type": np.array(EVENT_TYPES)[kinds],
            "at": rng.integers(0, 180 * DAY, events),
            "value": np.where(kinds == 0, rng.integers(1, 200, events) * MICRO, 0),
        }
    )


def on_sqlite(exposures: pa.Table, events: pa.Table, folder: Path) -> BareFacts:
    connection = sqlite3.connect(folder / "facts.sqlite3")
    connection.execute("PRAGMA cache_size=-64000")
    for name, table in (("exposures", exposures), ("events", events)):
        connection.execute(
            f"CREATE TABLE {name} ({', '.join(f'{c} {_sql_type(table, c)}' for c in table.column_names)})"
        )
        places = ", ".join("?" * table.num_columns)
        columns = [table.column(c).to_pylist() for c in table.column_names]
        connection.executemany(f"INSERT INTO {name} VALUES ({places})", zip(*columns, strict=True))
    for index in INDEXES:
        connection.execute(f"CREATE INDEX events_{index.replace(', ', '_')} ON events ({index})")
    connection.commit()
    return BareFacts("sqlite", lambda sql: connection.execute(sql).fetchall())


def on_duckdb(exposures: pa.Table, events: pa.Table, folder: Path) -> BareFacts:
    import duckdb
    import pyarrow.parquet as pq

    connection = duckdb.connect()
    connection.execute("SET threads TO 2")
    for name, table in (("exposures", exposures), ("events", events)):
        pq.write_table(table, folder / f"{name}.parquet")
        connection.read_parquet(str(folder / f"{name}.parquet")).create_view(name)
    return BareFacts("duckdb", lambda sql: connection.execute(sql).fetchall())


def on_postgres(exposures: pa.Table, events: pa.Table, folder: Path) -> BareFacts:
    import psycopg

    connection = psycopg.connect("host=127.0.0.1 user=root dbname=postgres", autocommit=True)
    cursor = connection.cursor()
    for name, table in (("exposures", exposures), ("events", events)):
        columns = ", ".join(f"{c} {_sql_type(table, c)}" for c in table.column_names)
        cursor.execute(f"CREATE TEMP TABLE {name} ({columns})")
        with cursor.copy(f"COPY {name} FROM STDIN") as copy:
            for row in zip(*(table.column(c).to_pylist() for c in table.column_names), strict=True):
                copy.write_row(row)
    for index in INDEXES:
        cursor.execute(f"CREATE INDEX ON events ({index})")
    cursor.execute("ANALYZE exposures")
    cursor.execute("ANALYZE events")

    def run(sql: str) -> Sequence[Sequence[object]]:
        return cursor.execute(sql.encode()).fetchall()

    return BareFacts("postgres", run)


def _sql_type(table: pa.Table, column: str) -> str:
    return "bigint" if pa.types.is_integer(table.schema.field(column).type) else "text"


ENGINES = {"sqlite": on_sqlite, "duckdb": on_duckdb, "postgres": on_postgres}


def measure(run: Callable[[str], Sequence[Sequence[object]]], sql: str) -> tuple[float, float, str]:
    """CPU seconds, wall seconds, and a digest of the integers."""
    cpu, wall = time.process_time(), time.perf_counter()
    rows = run(sql)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    digest = hashlib.sha256(repr([tuple(map(str, row)) for row in rows[:2_000]]).encode()).hexdigest()
    return cpu, wall, digest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=["sqlite", "duckdb"])
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    exposures, events = make_tables(options.people, options.events, options.seed)
    print(f"{options.events:,} events, {options.people:,} people, seed {options.seed}")
    print("CPU / wall seconds; ratios of wall seconds: expression / by hand, five metrics / one")
    print(f"{'engine':10} {'by hand':>18} {'expression':>18} {'ratio':>6} {'five metrics':>18} {'ratio':>6}")
    digests = set()
    for name in options.engines:
        with tempfile.TemporaryDirectory() as folder:
            facts = ENGINES[name](exposures, events, Path(folder))
            one = facts.compile(unit_totals(facts, experiment_key="x", metrics=FIVE[:1], until=UNTIL))
            five = facts.compile(unit_totals(facts, experiment_key="x", metrics=FIVE, until=UNTIL))
            hand, expression, many = (measure(facts.run, sql) for sql in (HAND, one, five))
        digests |= {hand[2], expression[2]}
        cells = " ".join(f"{cpu:8.2f} /{wall:8.2f}" for cpu, wall, _ in (hand, expression))
        ratios = expression[1] / hand[1], many[1] / expression[1]
        print(f"{name:10} {cells} {ratios[0]:6.2f} {many[0]:8.2f} /{many[1]:8.2f} {ratios[1]:6.2f}")
    if len(digests) != 1:
        raise SystemExit("the engines disagree")


if __name__ == "__main__":
    main()
