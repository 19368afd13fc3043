"""A table as Parquet: `python -m experiments.parquet` reads it as JSON and writes the file.

A process of its own, so that the web process need not load Arrow for the rare export.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

ARROW_TYPES: Final = {"text": "string", "integer": "int64", "number": "float64"}


def write(columns: Mapping[str, str], rows: Sequence[Sequence[Any]], target: BinaryIO) -> None:
    """Write the rows with the types that the columns name."""
    schema = pa.schema([(name, ARROW_TYPES[kind]) for name, kind in columns.items()])
    values = [[row[position] for row in rows] for position in range(len(columns))]
    arrays = [pa.array(column, type=field.type) for column, field in zip(values, schema, strict=True)]
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), target)


if __name__ == "__main__":
    given = json.load(sys.stdin)
    write(given["columns"], given["rows"], sys.stdout.buffer)
