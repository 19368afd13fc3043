"""Facts in Django's own database: exposures live here, the events come from a subclass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from django.db import connections

from experiments.facts.in_code import registered, source_table, with_sources
from experiments.facts.templates import UNTIL, Template, keep
from experiments.models import Arm, Experiment, Exposure, Phase, StaleUnit

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa

CHUNK_ROWS = 50_000
UNITS_TABLE = "facts_units"
UNIT_TYPES = {"bigint": "int64", "text": "string"}
DIALECTS = {"sqlite": "sqlite", "postgresql": "postgres"}


class DatabaseFacts(ABC):
    """The exposure side of the port and its execution through Django's connection.

    Whoever owns the events subclasses it, adds `events` and `population`, and casts `unit` to the events' type.
    """

    unit_type: ClassVar[Literal["bigint", "text"]] = "text"
    """What `unit` is in the tables of the subclass."""

    def __init__(self, *, reference: str = "", using: str = "default") -> None:
        self.reference = reference
        self.using = using
        self._compiled: dict[Any, str] = {}
        self._sources: dict[str, str] = {}  # the tables that stand for sources in code

    def exposures(self, *, experiment_key: str, units: ibis.Table | None = None) -> ibis.Table:
        """Exposures of one experiment: `unit` (string), `arm`, `phase`, `first_at`."""
        import ibis

        experiment_id, unit_type = self._row_of(experiment_key)
        exposure = ibis.table(
            {
                "experiment_id": "int64",
                "phase_id": "int64",
                "arm_id": "int64",
                "unit_type": "string",
                "unit_id": "string",
                "first_at": "int64",
            },
            name=Exposure._meta.db_table,
        )
        arm = ibis.table({"id": "int64", "key": "string"}, name=Arm._meta.db_table)
        phase = ibis.table({"id": "int64", "number": "int64"}, name=Phase._meta.db_table)
        if units is None:
            mine = exposure.filter(exposure.experiment_id == experiment_id)
        else:
            # The sum keeps planners without statistics (SQLite's) from reading the whole experiment by its index.
            mine = exposure.filter(
                (exposure.experiment_id + 0 == experiment_id)
                & (exposure.unit_type == unit_type)
                & exposure.unit_id.isin(units.unit.cast("string"))
            )
        named = mine.inner_join(arm, mine.arm_id == arm.id).inner_join(phase, mine.phase_id == phase.id)
        return named.select(unit=mine.unit_id, arm=arm.key, phase=phase.number, first_at=mine.first_at)

    def _row_of(self, experiment_key: str) -> tuple[int, str]:
        """The number and the unit type of an experiment: another one may have had its key before."""
        return Experiment.objects.using(self.using).values_list("pk", "unit_type").get(key=experiment_key)

    @abstractmethod
    def events(
        self,
        *,
        event_types: Sequence[str],
        properties: Sequence[str],
        numbers: Sequence[str] = (),
        units: ibis.Table | None = None,
    ) -> ibis.Table:
        """The events of these types: a subclass knows their table."""

    def hears_of_news(self, *, experiment_key: str) -> bool:
        """Whether `services.dirty` is told of every change of this experiment's units."""
        return True

    def in_code(self, event_types: Sequence[str]) -> list[tuple[str, ibis.Table]]:
        """The event types that are sources in code, each with its table of `unit` (text), `at` and `value`."""
        found = [(name, source_table(name)) for name in registered(event_types)]
        self._sources |= {table.get_name(): name for name, table in found}
        return found

    def keep_stale(self, *, state_id: int, last: int) -> None:
        """Put the stale units of a state, up to that row, where `kept_units` finds them."""
        self._keep(
            f"SELECT DISTINCT CAST(unit AS {self.unit_type}) "  # noqa: S608 - constants
            f"FROM {StaleUnit._meta.db_table} WHERE state_id = %s AND id <= %s",
            [state_id, last],
        )

    def keep_unit(self, *, unit: str) -> None:
        """Put one unit where `kept_units` finds it."""
        self._keep(f"SELECT CAST(%s AS {self.unit_type})", [unit])

    def kept_units(self) -> ibis.Table:
        """What was kept last: `unit`. A table of the connection, which is read often, and SQLite parses no deeper."""
        import ibis

        return ibis.table({"unit": UNIT_TYPES[self.unit_type]}, name=UNITS_TABLE)

    def _keep(self, sql: str, params: Sequence[Any]) -> None:
        self.fill_table(UNITS_TABLE, self.unit_type, sql, params)

    def fill_table(self, name: str, kind: str, sql: str, params: Sequence[Any]) -> None:
        """Replace the rows of a temporary table with the one column `unit`."""
        with connections[self.using].cursor() as cursor:
            cursor.execute(f"CREATE TEMPORARY TABLE IF NOT EXISTS {name} (unit {kind})")
            cursor.execute(f"DELETE FROM {name}")  # noqa: S608 - constants
            cursor.execute(f"INSERT INTO {name} {sql}", params)
            if connections[self.using].vendor == "postgresql":
                cursor.execute(f"ANALYZE {name}")  # nobody else does so for temporary tables

    @abstractmethod
    def population(self, *, at: int) -> ibis.Table:
        """Everybody known before `at`: a subclass knows who that is."""

    def shape(self, *, experiment_key: str, event_types: Sequence[str]) -> Hashable | None:
        """Everything besides times that the SQL over this experiment and these events depends on.

        None (what a subclass that does not know leaves) means that no SQL is kept for the next time.
        """
        return None

    def template(self, key: Hashable, build: Callable[[int], ibis.Table]) -> Template:
        """The SQL of what `build` makes of a moment, compiled once in a process for each key."""

        def compiled() -> Template:
            expression = build(UNTIL)
            return Template(self._to_sql(expression), expression.schema().to_pyarrow())

        return keep((type(self), self.using, key), compiled)

    def compile(self, expression: ibis.Table) -> str:
        """The SQL of an expression in the database's dialect; compiling takes longer than a small query."""
        operation = expression.op()
        if operation not in self._compiled:
            self._compiled[operation] = self._to_sql(expression)
        return self._compiled[operation]

    def _to_sql(self, expression: ibis.Table) -> str:
        import ibis

        return str(ibis.to_sql(expression, dialect=DIALECTS[connections[self.using].vendor]))

    def execute(self, expression: ibis.Table) -> pa.Table:
        """The rows of an expression, read in chunks through Django's connection."""
        return self.fetch(self.compile(expression), expression.schema().to_pyarrow())

    def fetch(self, sql: str, schema: pa.Schema) -> pa.Table:
        """The rows of compiled SQL, read in chunks through Django's connection."""
        import pyarrow as pa

        batches: list[pa.RecordBatch] = []
        with connections[self.using].chunked_cursor() as cursor:
            sql, params = with_sources(sql, self._sources, using=self.using)
            cursor.execute(sql, params or None)  # without parameters, a % in the SQL stays as it is
            while rows := cursor.fetchmany(CHUNK_ROWS):
                columns = [
                    column_array(values, kind)
                    for values, kind in zip(zip(*rows, strict=True), schema.types, strict=True)
                ]
                batches.append(pa.RecordBatch.from_arrays(columns, schema=schema))
        return pa.Table.from_batches(batches, schema=schema)


def column_array(values: tuple[Any, ...], kind: pa.DataType) -> pa.Array:
    """One column; PostgreSQL's sums of bigint arrive as Decimal and are whole numbers.

    Columns without NULL are laid out by hand: `pyarrow.array` and `record_batch` import pandas, which would cost each
    worker 50 MB and half a second.
    """
    import numpy as np
    import pyarrow as pa

    if None in values:
        whole = pa.types.is_integer(kind)
        return pa.array([None if value is None else int(value) if whole else value for value in values], type=kind)
    if pa.types.is_int64(kind):
        numbers = np.array(values, dtype=np.int64)
        return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(numbers)])
    texts = [value.encode() for value in values]
    offsets = np.zeros(len(texts) + 1, dtype=np.int32)
    np.cumsum([len(text) for text in texts], out=offsets[1:])
    return pa.Array.from_buffers(kind, len(texts), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(texts))])
