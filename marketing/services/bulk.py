"""Many rows at once, in SQL: the same calls on SQLite and on PostgreSQL.

The ORM's `bulk_create` inserts 10,000 rows a second into SQLite, `executemany` 150,000. Table and column names come
from models and constants, never from input.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from django.db import connection, models

Row = Sequence[Any]

# What a staged column may be: the affinity must be declared (SQLite compares an untyped column row by row).
STAGE_TYPES: Final = frozenset({"bigint", "smallint", "text", "double precision"})


def is_postgres() -> bool:
    """Tell whether the default database is PostgreSQL."""
    return connection.vendor == "postgresql"


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep Python's collector of cycles still while a bounded batch is worked on.

    A batch makes hundreds of thousands of objects that live until its end and form no cycles; to look through them
    again and again took a quarter of the drain.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def compile_nothing() -> None:
    """Switch PostgreSQL's compiler off for this transaction: of one look at 10,000 people it was 0.9 of 1.1 seconds.

    The planner takes a question about a few thousand rows of a million for one about all, compiles it, and does so
    again for each piece.
    """
    if is_postgres():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL jit = off")


def insert_new(*, model: type[models.Model], columns: Sequence[str], rows: Sequence[Row], key: str) -> dict[Any, int]:
    """Insert the rows that break no unique constraint; return `key` column → id of those that went in.

    `key` must be unique among the rows given. The caller is inside a transaction.
    """
    if not rows:
        return {}
    table = model._meta.db_table
    names = ", ".join(columns)
    with connection.cursor() as cursor:
        if is_postgres():
            # COPY knows no ON CONFLICT: through a session table of the same columns.
            stage = f"stage_{table}"
            types = _stage_types(model, columns)
            declared = ", ".join(f"{column} {kind}" for column, kind in types.items())
            cursor.execute(f"CREATE TEMP TABLE IF NOT EXISTS {stage} ({declared}) ON COMMIT DELETE ROWS")
            _copy(cursor, stage, types, rows)
            given = ", ".join(f"{column}::{_db_type(model, column)}" for column in columns)
            cursor.execute(
                f"INSERT INTO {table} ({names}) SELECT {given} FROM {stage} ON CONFLICT DO NOTHING RETURNING {key}, id"  # noqa: S608 - constants
            )
            new = dict(cursor.fetchall())
            _empty(cursor, stage)
            return new
        # One writer at a time (BEGIN IMMEDIATE): everything above the old maximum is ours.
        cursor.execute(f"SELECT max(id) FROM {table}")  # noqa: S608 - constants
        last = cursor.fetchone()[0] or 0
        places = ", ".join(["%s"] * len(columns))
        cursor.executemany(f"INSERT INTO {table} ({names}) VALUES ({places}) ON CONFLICT DO NOTHING", rows)  # noqa: S608 - constants
        cursor.execute(f"SELECT {key}, id FROM {table} WHERE id > %s", [last])  # noqa: S608 - constants
        return dict(cursor.fetchall())


@contextmanager
def staged(*, name: str, columns: Mapping[str, str], rows: Sequence[Row]) -> Iterator[str]:
    """Hold the rows in a temporary table for the statements of the block; `columns` names their SQL types."""
    unknown = set(columns.values()) - STAGE_TYPES
    if unknown:
        raise ValueError(f"types must be among {sorted(STAGE_TYPES)}, got {sorted(unknown)}")
    table = f"stage_{name}"
    declared = ", ".join(f"{column} {type_}" for column, type_ in columns.items())
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TEMP TABLE IF NOT EXISTS {table} ({declared})")
        _empty(cursor, table)
        if is_postgres():
            _copy(cursor, table, columns, rows)
        else:
            places = ", ".join(["%s"] * len(columns))
            cursor.executemany(f"INSERT INTO {table} VALUES ({places})", rows)  # noqa: S608 - constants
    yield table
    with connection.cursor() as cursor:
        _empty(cursor, table)


def select_by(*, sql: str, values: Collection[Any], params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Run a query whose `{values}` stands for a set of integers or texts of any size."""
    if not values:
        return []
    ordered = sorted(values)
    with connection.cursor() as cursor:
        if is_postgres():
            kind = "bigint" if isinstance(ordered[0], int) else "text"
            cursor.execute(sql.format(values=f"(SELECT unnest(%s::{kind}[]))"), [*params, ordered])
        else:
            cursor.execute(sql.format(values="(SELECT value FROM json_each(%s))"), [*params, json.dumps(ordered)])
        return list(cursor.fetchall())


def each_number() -> str:
    """Return a query of the column `id` over one parameter, whole numbers as a JSON list."""
    each = "json_array_elements_text(%s::json)" if is_postgres() else "json_each(%s)"
    return f"SELECT CAST(value AS bigint) AS id FROM {each}"  # noqa: S608 - constants


def _db_type(model: type[models.Model], column: str) -> str:
    field = next(field for field in model._meta.concrete_fields if field.column == column)
    return str(field.db_type(connection))


def _stage_types(model: type[models.Model], columns: Sequence[str]) -> dict[str, str]:
    """The types in which the columns travel: texts without a length, and JSON as the text that it comes as."""
    travelling = {column: _db_type(model, column).partition("(")[0] for column in columns}
    return {column: "text" if kind in ("varchar", "jsonb") else kind for column, kind in travelling.items()}


def _copy(cursor: Any, table: str, types: Mapping[str, str], rows: Sequence[Row]) -> None:
    with cursor.copy(f"COPY {table} ({', '.join(types)}) FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(list(types.values()))
        for row in rows:
            copy.write_row(row)


def _empty(cursor: Any, table: str) -> None:
    # Autovacuum does not see temporary tables: in a long session deleted rows would pile up on PostgreSQL.
    cursor.execute(f"TRUNCATE {table}" if is_postgres() else f"DELETE FROM {table}")  # noqa: S608 - constants
