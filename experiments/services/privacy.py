"""A person's rights over exposures.

`forget` deletes the rows now; a running experiment loses the unit. Freezing its anonymous contribution first is the
matter of the erasure that keeps reported results.
"""

from __future__ import annotations

from typing import Any

from experiments.models import Exposure


def forget(*, unit_type: str, unit_id: str) -> int:
    """Delete every exposure of a unit; return how many there were."""
    deleted, _ = Exposure.objects.of_unit(unit_type=unit_type, unit_id=unit_id).delete()
    return deleted


def export(*, unit_type: str, unit_id: str) -> list[dict[str, Any]]:
    """Every exposure of a unit, as JSON-ready rows."""
    rows = Exposure.objects.of_unit(unit_type=unit_type, unit_id=unit_id).order_by("first_at", "pk")
    return [
        {
            "experiment": row.experiment.key,
            "name": row.experiment.name,
            "arm": row.arm.key,
            "phase": row.phase.number,
            "first_at": row.first_at,
            "source": row.source,
            "basis": row.basis,
        }
        for row in rows.select_related("experiment", "arm", "phase")
    ]
