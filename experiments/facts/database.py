"""Facts in Django's own database: exposures live here, the events come from a subclass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.db import connections

from experiments.facts.in_code import registered, source_table, with_sources
from experiments.models import Arm, Experiment, Exposure, Phase, StaleUnit

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa

CHUNK_ROWS = 50_000
DIALECTS = {"sqlite": "sqlite", "postgresql": "postgres"}


class DatabaseFacts:
    """The exposure side of the port and its execution through Django's connection.

    Whoever owns the events subclasses it, adds `events` and casts `unit` to the events' type.
    """

    def __init__(self, *, reference: str = "", using: str = "default") -> None:
        self.reference = reference
        self.using = using
        self._compiled: dict[Any, str] = {}
        self._sources: dict[str, str] = {}  # the tables that stand for sources in code

    def exposures(self, *, experiment_key: str) -> ibis.Table:
        """Exposures of one experiment: `unit` (string), `arm`, `phase`, `first_at`."""
        import ibis

        experiment_id = Experiment.objects.using(self.using).values_list("pk", flat=True).get(key=experiment_key)
        exposure = ibis.table(
            {
                "experiment_id": "int64",
                "phase_id": "int64",
                "arm_id": "int64",
                "unit_id": "string",
                "first_at": "int64",
            },
            name=Exposure._meta.db_table,
        )
        arm = ibis.table({"id": "int64", "key": "string"}, name=Arm._meta.db_table)
        phase = ibis.table({"id": "int64", "number": "int64"}, name=Phase._meta.db_table)
        mine = exposure.filter(exposure.experiment_id == experiment_id)
        named = mine.inner_join(arm, mine.arm_id == arm.id).inner_join(phase, mine.phase_id == phase.id)
        return named.select(unit=mine.unit_id, arm=arm.key, phase=phase.number, first_at=mine.first_at)

    def events(
        self,
        *,
        event_types: Sequence[str],
        properties: Sequence[str],
        numbers: Sequence[str] = (),
        units: ibis.Table | None = None,
    ) -> ibis.Table:
        """The events of these types: a subclass knows their table."""
        raise NotImplementedError

    def hears_of_news(self, *, experiment_key: str) -> bool:
        """Whether `services.dirty` is told of every change of this experiment's units."""
        return True

    def in_code(self, event_types: Sequence[str]) -> list[tuple[str, ibis.Table]]:
        """The event types that are sources in code, each with its table of `unit` (text), `at` and `value`."""
        found = [(name, source_table(name)) for name in registered(event_types)]
        self._sources |= {table.get_name(): name for name, table in found}
        return found

    def stale_units(self, *, state_id: int, last: int) -> ibis.Table:
        """The units of an experiment's state that are stale, up to that row: `unit` (string)."""
        import ibis

        stale = ibis.table({"id": "int64", "state_id": "int64", "unit": "string"}, name=StaleUnit._meta.db_table)
        return stale.filter((stale.state_id == state_id) & (stale.id <= last)).select("unit").distinct()

    def population(self, *, at: int) -> ibis.Table:
        """Everybody known before `at`: a subclass knows who that is."""
        raise NotImplementedError

    def compile(self, expression: ibis.Table) -> str:
        """The SQL of an expression in the database's dialect; compiling takes longer than a small query."""
        import ibis

        operation = expression.op()
        if operation not in self._compiled:
            sql = ibis.to_sql(expression, dialect=DIALECTS[connections[self.using].vendor])
            self._compiled[operation] = str(sql)
        return self._compiled[operation]

    def execute(self, expression: ibis.Table) -> pa.Table:
        """The rows of an expression, read in chunks through Django's connection."""
        import pyarrow as pa

        schema = expression.schema().to_pyarrow()
        batches: list[pa.RecordBatch] = []
        with connections[self.using].chunked_cursor() as cursor:
            sql, params = with_sources(self.compile(expression), self._sources, using=self.using)
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
