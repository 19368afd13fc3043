"""Results as files."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Final

from experiments.errors import CannotExport
from experiments.tables import Table

SECONDS: Final = 30
"""Loading Arrow takes half a second; this is for a machine that is very busy."""


def parquet(*, table: Table) -> bytes:
    """The table as a Parquet file. Raises `CannotExport`."""
    given = json.dumps({"columns": dict(table.columns), "rows": table.rows}).encode()
    command = [sys.executable, "-m", "experiments.parquet"]
    try:
        done = subprocess.run(command, input=given, capture_output=True, check=True, timeout=SECONDS)  # noqa: S603 - ours
    except subprocess.TimeoutExpired as error:
        raise CannotExport(f"The file was not written within {SECONDS} seconds. Try again later.") from error
    except subprocess.CalledProcessError as error:
        raise CannotExport(f"The file could not be written: {error.stderr.decode()[-200:]}") from error
    return done.stdout
