"""Reading the peers' reference cases, however many of a kind the file holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CLOSED_FORM = 1e-12


def cases_of(folder: Path, *kinds: str) -> list[dict[str, Any]]:
    """All reference cases of the kinds; there is at least one, or the test would prove nothing."""
    data = json.loads((folder / "stats.json").read_text(encoding="utf-8"), parse_constant=float)
    found = [case for case in data["cases"] if case["kind"] in kinds]
    assert found, f"no reference case of {kinds}"
    return found


def number(value: object) -> float:
    """A float of the file; infinities and NaN are written as words there."""
    return float(str(value))
