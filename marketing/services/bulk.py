"""Many rows at once, in SQL: the same calls on SQLite and on PostgreSQL.

The ORM's `bulk_create` inserts 10,000 rows a second into SQLite, `executemany` 150,000. Table and column names come
from models and constants, never from input.
"""

from __future__ import annotations

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
            # COPY knows no ON CONFLICT: through a session table with the same columns.
            stage = f"stage_{table}"
            cursor.execute(
                f"CREATE TEMP TABLE IF NOT EXISTS {stage} ON COMMIT DELETE ROWS AS SELECT * FROM {table} WHERE false"  # noqa: S608 - constants
            )
            _copy(cursor, stage, columns, rows)
            cursor.execute(
                f"INSERT INTO {table} ({names}) SELECT {names} FROM {stage} ON CONFLICT DO NOTHING RETURNING {key}, id"  # noqa: S608 - constants
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
            _copy(cursor, table, list(columns), rows)
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


def _copy(cursor: Any, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    with cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def _empty(cursor: Any, table: str) -> None:
    # Autovacuum does not see temporary tables: in a long session deleted rows would pile up on PostgreSQL.
    cursor.execute(f"TRUNCATE {table}" if is_postgres() else f"DELETE FROM {table}")  # noqa: S608 - constants
