"""Facts in Parquet files, read by DuckDB: imported experiments and archives live here."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings

if TYPE_CHECKING:
    import duckdb
    import ibis
    import pyarrow as pa

# Exposures: with ten events each, a part of so many needs about a gigabyte in DuckDB (benchmarks/analysis_parquet.py).
UNITS_IN_A_PART: Final = 2_500_000
EXPOSURES_FILE = "exposures.parquet"
EVENTS_FILE = "events.parquet"
EXPOSURE_SCHEMA = {"unit": "int64", "arm": "string", "phase": "int64", "first_at": "int64"}
EVENT_SCHEMA = {"unit": "int64", "type": "string", "at": "int64", "value": "int64"}


def dataset_folder(reference: str) -> Path:
    """Where a data set of this name lies; names are slugs, so they cannot leave the folder."""
    if not reference.replace("-", "").replace("_", "").isalnum():
        message = f"not a data set name: {reference!r}"
        raise ValueError(message)
    return Path(settings.DATA_DIR) / "parquet" / reference


def write_dataset(reference: str, *, exposures: pa.Table, events: pa.Table) -> None:
    """Store a data set: both files appear together or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = dataset_folder(reference)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".writing-") as name:
        draft = Path(name) / "dataset"
        draft.mkdir()
        pq.write_table(exposures.cast(_arrow(EXPOSURE_SCHEMA, pa)), draft / EXPOSURES_FILE)
        pq.write_table(events.cast(_arrow(EVENT_SCHEMA, pa)), draft / EVENTS_FILE)
        draft.replace(folder)


def remove_dataset(reference: str) -> None:
    """Delete a data set; one that is not there is fine."""
    shutil.rmtree(dataset_folder(reference), ignore_errors=True)


def _arrow(schema: dict[str, str], pa: Any) -> pa.Schema:
    return pa.schema([(name, pa.type_for_alias(kind)) for name, kind in schema.items()])


class WarehouseFacts:
    """One experiment's exposures and events as two Parquet files of a data set folder."""

    def __init__(self, *, reference: str) -> None:
        self.folder = dataset_folder(reference)

    def exposures(self, *, experiment_key: str, units: ibis.Table | None = None) -> ibis.Table:
        """The exposures of the data set's only experiment."""
        import ibis

        table = ibis.table(EXPOSURE_SCHEMA, name="exposures")
        return table if units is None else table.filter(table.unit.isin(units.unit))

    def events(
        self,
        *,
        event_types: Sequence[str],
        properties: Sequence[str],
        numbers: Sequence[str] = (),
        units: ibis.Table | None = None,
    ) -> ibis.Table:
        """The events of these types; a data set keeps no properties."""
        import ibis

        table = ibis.table(EVENT_SCHEMA, name="events")
        absent = {f"property_{name}": ibis.null("string") for name in properties}
        absent |= {f"number_{name}": ibis.null("int64") for name in numbers}
        found = table.filter(table.type.isin(event_types)).mutate(**absent)
        return found if units is None else found.filter(found.unit.isin(units.unit))

    def population(self, *, at: int) -> ibis.Table:
        """Whoever had an event or an exposure before `at`, since the first of them."""
        import ibis

        exposed, event = ibis.table(EXPOSURE_SCHEMA, name="exposures"), ibis.table(EVENT_SCHEMA, name="events")
        seen = exposed.select("unit", at=exposed.first_at).union(event.select("unit", "at"))
        return seen.filter(seen.at < at).group_by("unit").agg(known_at=lambda rows: rows.at.min())

    def compile(self, expression: ibis.Table) -> str:
        """The SQL of an expression for DuckDB."""
        import ibis

        return str(ibis.to_sql(expression, dialect="duckdb"))

    def execute(self, expression: ibis.Table) -> pa.Table:
        """The rows of an expression over the data set's files.

        What has a row per `unit` says of a unit only what its own rows say, in unit order. So where many are exposed
        it is computed for one range of units after the other: the hash tables of a hundred million events at once
        would need more memory than a small machine has.
        """
        import duckdb
        import pyarrow as pa

        schema, sql = expression.schema(), self.compile(expression)
        by_unit = "unit" in schema and schema["unit"].is_integer()
        with duckdb.connect() as connection:
            connection.execute("SET threads TO 2")
            ranges = self._ranges(connection) if by_unit else ["true"]
            tables = [self._rows(connection, sql, units).cast(schema.to_pyarrow()) for units in ranges]
        return pa.concat_tables(tables)

    def _rows(self, connection: duckdb.DuckDBPyConnection, sql: str, units: str) -> pa.Table:
        """What the SQL gives of the units that a condition names."""
        for name, file in (("exposures", EXPOSURES_FILE), ("events", EVENTS_FILE)):
            connection.read_parquet(str(self.folder / file)).filter(units).create_view(name)
        return connection.execute(sql).fetch_arrow_table()

    def _ranges(self, connection: duckdb.DuckDBPyConnection) -> list[str]:
        """Conditions on `unit` that divide all units, in their order, into parts of about `UNITS_IN_A_PART`."""
        exposures = connection.read_parquet(str(self.folder / EXPOSURES_FILE))
        parts_n = -(-len(exposures) // UNITS_IN_A_PART)
        if parts_n <= 1:
            return ["true"]
        shares = [part / parts_n for part in range(1, parts_n)]
        row = exposures.aggregate(f"approx_quantile(unit, {shares})").fetchone()
        assert row is not None  # an aggregate always has a row
        cuts = sorted(set(row[0]))
        lower = ["true", *(f"unit >= {cut}" for cut in cuts)]
        upper = [*(f"unit < {cut}" for cut in cuts), "true"]
        return [f"{above} AND {below}" for above, below in zip(lower, upper, strict=True)]
