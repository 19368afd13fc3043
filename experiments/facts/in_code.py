"""Metrics in code: a shop's own tables as events, without sending an event.

A function that returns a QuerySet with `unit`, `time` and `value` is registered under a name:

    # shop/experiment_metrics.py, found in every installed app
    from experiments.services.in_code import metric_source

    @metric_source("Paid Order")
    def paid_orders():
        return Order.objects.filter(paid=True).values(unit=F("customer_id"), time=F("paid_at"), value=F("total"))

A metric then names "Paid Order" among its event types like any other event.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.db import connections
from django.db.models import BigIntegerField, CharField, DateTimeField, F, Func, QuerySet, Value
from django.db.models.functions import Cast
from django.utils.module_loading import autodiscover_modules

if TYPE_CHECKING:
    import ibis

Source = Callable[[], "QuerySet[Any, Any]"]
MODULE: Final = "experiment_metrics"
COLUMNS: Final = ("unit", "time", "value")
MICRO: Final = 1_000_000

_sources: dict[str, Source] = {}


class BadSource(TypeError):
    """A registered function does not return what it must; the message names it."""


class Microseconds(Func):
    """A datetime as whole microseconds since 1970, exact on both databases."""

    output_field = BigIntegerField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """SQLite keeps a datetime as text, with up to six digits after the dot."""
        template = (
            "(CAST(strftime('%%%%s', %(expressions)s) AS INTEGER) * 1000000"
            " + CAST(substr(substr(%(expressions)s, 21) || '000000', 1, 6) AS INTEGER))"
        )
        sql, params = self.as_sql(compiler, connection, template=template, **context)
        return sql, (*params, *params)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """PostgreSQL's extract is a numeric and exact."""
        template = "(EXTRACT(EPOCH FROM %(expressions)s) * 1000000)::bigint"
        return self.as_sql(compiler, connection, template=template, **context)


class Millionths(Func):
    """A number as whole millionths, rounded half up on both databases."""

    output_field = BigIntegerField()
    template = "CAST(FLOOR(%(expressions)s * 1000000 + 0.5) AS BIGINT)"


@dataclass(frozen=True, slots=True)
class SourceQuery:
    """The table that stands for a source in expressions, and the SQL with parameters behind it."""

    table: str
    sql: str
    params: tuple[Any, ...]


def metric_source(name: str) -> Callable[[Source], Source]:
    """Register a function as the events of this name; ValueError if the name is taken."""

    def register(function: Source) -> Source:
        if _sources.setdefault(name, function) is not function:
            message = f"there are two sources of {name!r}: {_sources[name].__module__} and {function.__module__}"
            raise ValueError(message)
        return function

    return register


def registered(event_types: Sequence[str]) -> list[str]:
    """Those of the event types that are sources in code; the apps' modules are imported at the first call."""
    autodiscover_modules(MODULE)
    return [name for name in event_types if name in _sources]


def source_table(name: str) -> ibis.Table:
    """The source as a table of `unit` (text), `at` and `value` (int64)."""
    import ibis

    return ibis.table({"unit": "string", "at": "int64", "value": "int64"}, name=_table_name(name))


def source_query(name: str, *, using: str) -> SourceQuery:
    """The source's SELECT, cast to what the expressions read."""
    rows = _sources[name]()
    missing = _missing(rows)
    if missing:
        message = f"the source of {name!r} must return a QuerySet with {', '.join(COLUMNS)}; there is no {missing}"
        raise BadSource(message)
    outputs = rows.query.annotations
    time, value = outputs.get("time"), outputs.get("value")
    is_moment = isinstance(getattr(time, "output_field", None), DateTimeField)
    is_nothing = isinstance(value, Value) and value.value is None
    inner = rows.order_by().values(
        in_unit=Cast(F("unit"), CharField()),
        in_at=Microseconds(F("time")) if is_moment else F("time"),
        in_value=Cast(Value(None), BigIntegerField()) if is_nothing else Millionths(F("value")),
    )
    sql, params = inner.query.get_compiler(using=using).as_sql()
    return SourceQuery(table=_table_name(name), sql=sql, params=tuple(params))


def with_sources(sql: str, tables: Mapping[str, str], *, using: str) -> tuple[str, tuple[Any, ...]]:
    """The compiled SQL with the sources it names (table → source) as common table expressions, and their parameters."""
    queries = [source_query(name, using=using) for table, name in tables.items() if f'"{table}"' in sql]
    if not queries:
        return sql, ()
    quote = connections[using].ops.quote_name
    heads = ", ".join(f"{quote(query.table)} (unit, at, value) AS ({query.sql})" for query in queries)
    rest = sql.replace("%", "%%")  # the compiled SQL has no parameters of its own
    is_with = rest.lstrip().upper().startswith("WITH")
    joined = f"WITH {heads}, {rest.lstrip()[len('WITH') :]}" if is_with else f"WITH {heads} {rest}"
    return joined, tuple(parameter for query in queries for parameter in query.params)


def _missing(rows: object) -> str:
    if not isinstance(rows, QuerySet):
        return "QuerySet"
    named = {*rows.query.annotations, *rows.query.values_select}
    return next((name for name in COLUMNS if name not in named), "")


def _table_name(name: str) -> str:
    slug = "".join(character if character.isalnum() else "_" for character in name.lower())
    return f"in_code_{slug}"
