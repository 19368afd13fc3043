"""The same expressions where a part of the events lies in the archive: everything they read, in DuckDB.

Totals of two stores could be added, but not different values, first values or steps; so the stores are united
below the expressions, and not above. What comes from the database goes through DuckDB's own file, which keeps the
memory bounded.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from django.db import connections

from experiments.services.facts import EXPOSURE_TABLE, column_array, with_sources
from marketing.models import Event, EventType, Identity

if TYPE_CHECKING:
    import duckdb
    import ibis
    import pyarrow as pa

CHUNK: Final = 50_000
MEMORY: Final = "1GB"
EVENT: Final = Event._meta.db_table
IDENTITY: Final = Identity._meta.db_table


def execute_with_archive(
    expression: ibis.Table,
    *,
    using: str,
    experiment_key: str,
    since: int,
    paths: Sequence[Path],
    sources: Mapping[str, str],
) -> pa.Table:
    """The rows of an expression over the tables of the database and the events in these files."""
    import duckdb
    import ibis
    from ibis.expr import operations as ops

    sql = str(ibis.to_sql(expression, dialect="duckdb"))
    tables = {table.name: table.schema for table in expression.op().find(ops.UnboundTable)}
    with tempfile.TemporaryDirectory() as folder, duckdb.connect(str(Path(folder) / "facts.duckdb")) as connection:
        connection.execute(f"SET memory_limit = '{MEMORY}'")
        connection.execute("SET threads TO 2")
        for name, schema in tables.items():
            where, params = _restriction(name, experiment_key=experiment_key, since=since)
            _copy(connection, name, schema, _Rows(where, params, sources), using=using)
        if EVENT in tables:
            if IDENTITY not in tables:
                columns = ibis.schema({"id": "int64", "profile_id": "int64"})
                _copy(connection, IDENTITY, columns, _Rows("", (), {}), using=using)
            names = ", ".join(
                _quoted(name) if name == "profile_id" else f"e.{_quoted(name)}" for name in tables[EVENT].names
            )
            connection.execute(
                f"INSERT INTO {EVENT} SELECT {names} "  # noqa: S608 - names of tables and columns
                f'FROM read_parquet(?) e JOIN {IDENTITY} i ON i.id = e.identity_id WHERE e."at" >= ?',
                [[str(path) for path in paths], since],
            )
        rows = connection.execute(sql).fetch_arrow_table()
    return rows.cast(expression.schema().to_pyarrow())


@dataclass(frozen=True, slots=True)
class _Rows:
    """Which rows of a table are needed; the table may be a source in code."""

    where: str
    params: tuple[Any, ...]
    sources: Mapping[str, str]


def _restriction(name: str, *, experiment_key: str, since: int) -> tuple[str, tuple[Any, ...]]:
    """What of a table is needed: one experiment's exposures, events that its windows can reach."""
    if name == EXPOSURE_TABLE:
        return " WHERE experiment_id = (SELECT id FROM experiments_experiment WHERE key = %s)", (experiment_key,)
    if name == EVENT:
        types = tuple(EventType.objects.values_list("pk", flat=True)) or (0,)
        return f" WHERE type_id IN ({', '.join(['%s'] * len(types))}) AND at >= %s", (*types, since)
    return "", ()


def _copy(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    schema: ibis.Schema,
    rows: _Rows,
    *,
    using: str,
) -> None:
    """Create the table in DuckDB and fill it from the database, chunk by chunk."""
    import ibis.expr.datatypes as dt
    import pyarrow as pa

    types = {
        column: "JSON" if isinstance(kind, dt.JSON) else "BIGINT" if kind.is_integer() else "VARCHAR"
        for column, kind in schema.items()
    }
    declared = ", ".join(f"{_quoted(column)} {kind}" for column, kind in types.items())
    connection.execute(f"CREATE TABLE {name} ({declared})")
    arrow = pa.schema([(column, pa.int64() if kind == "BIGINT" else pa.string()) for column, kind in types.items()])
    sql = f"SELECT {', '.join(map(_quoted, types))} FROM {_quoted(name)}{rows.where}"  # noqa: S608 - names
    sql, of_sources = with_sources(sql, rows.sources, using=using)
    for values in _chunks(sql, (*of_sources, *rows.params), using=using):
        columns = [
            column_array(column, kind) for column, kind in zip(zip(*values, strict=True), arrow.types, strict=True)
        ]
        chunk = pa.Table.from_arrays(columns, schema=arrow)  # DuckDB finds it by its name
        connection.execute(f"INSERT INTO {name} SELECT * FROM chunk")  # noqa: S608 - names
        del chunk


def _quoted(name: str) -> str:
    return f'"{name}"'


def _chunks(sql: str, params: tuple[Any, ...], *, using: str) -> Iterator[list[tuple[Any, ...]]]:
    with connections[using].chunked_cursor() as cursor:
        cursor.execute(sql, params or None)
        while rows := cursor.fetchmany(CHUNK):
            yield rows
