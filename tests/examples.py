"""How many examples a property is tried with: few in the ordinary run, all of them in `make slow`."""

from __future__ import annotations

import os

IS_THOROUGH = os.environ.get("HOLDOUT_THOROUGH") == "1"


def examples(quick: int, *, full: int) -> int:
    """Return the number for this run. Mark the test `thorough`, so that `make slow` runs it with the full number."""
    return full if IS_THOROUGH else quick
