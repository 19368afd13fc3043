"""Facts in Parquet files, read by DuckDB: imported experiments and archives live here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa

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


class WarehouseFacts:
    """One experiment's exposures and events as two Parquet files of a data set folder."""

    def __init__(self, *, reference: str) -> None:
        self.folder = dataset_folder(reference)

    def exposures(self, *, experiment_key: str) -> ibis.Table:
        """The exposures of the data set's only experiment."""
        import ibis

        return ibis.table(EXPOSURE_SCHEMA, name="exposures")

    def events(self, *, event_types: Sequence[str], properties: Sequence[str]) -> ibis.Table:
        """The events of these types; a data set keeps no properties."""
        import ibis

        table = ibis.table(EVENT_SCHEMA, name="events")
        absent = {f"property_{name}": ibis.null("string") for name in properties}
        return table.filter(table.type.isin(event_types)).mutate(**absent)

    def compile(self, expression: ibis.Table) -> str:
        """The SQL of an expression for DuckDB."""
        import ibis

        return str(ibis.to_sql(expression, dialect="duckdb"))

    def execute(self, expression: ibis.Table) -> pa.Table:
        """The rows of an expression over the data set's files."""
        import duckdb

        with duckdb.connect() as connection:
            connection.execute("SET threads TO 2")
            for name, file in (("exposures", EXPOSURES_FILE), ("events", EVENTS_FILE)):
                connection.read_parquet(str(self.folder / file)).create_view(name)
            rows = connection.execute(self.compile(expression)).fetch_arrow_table()
        return rows.cast(expression.schema().to_pyarrow())
