"""A person's rights over exposures.

`forget` deletes the rows now; a running experiment loses the unit. Freezing its anonymous contribution first is the
matter of the erasure that keeps reported results.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django.db.models import QuerySet

from experiments.models import DirtyUnit, Exposure, StaleUnit
from experiments.models.exposure import FACTS_UNIT_TYPE
from experiments.services.dirty import drop_states, mark_dirty

BATCH: Final = 1_000
"""Units per statement, far below SQLite's limit of parameters."""


def forget(*, unit_type: str, unit_id: str) -> int:
    """Delete every exposure of a unit; return how many there were."""
    return _forget(Exposure.objects.of_unit(unit_type=unit_type, unit_id=unit_id))


def forget_many(*, unit_type: str, unit_ids: Sequence[str]) -> int:
    """Delete every exposure of these units; return how many there were."""
    deleted = 0
    for begin in range(0, len(unit_ids), BATCH):
        rows = Exposure.objects.filter(unit_type=unit_type, unit_id__in=unit_ids[begin : begin + BATCH])
        deleted += _forget(rows)
    return deleted


def forget_marks(*, units: Sequence[str]) -> int:
    """Delete the marks that these units have news: what was computed with them is gone already."""
    deleted = 0
    for begin in range(0, len(units), BATCH):
        some = units[begin : begin + BATCH]
        deleted += DirtyUnit.objects.filter(unit__in=some).delete()[0]
        deleted += StaleUnit.objects.filter(unit__in=some).delete()[0]
    return deleted


def _forget(rows: QuerySet[Exposure]) -> int:
    """Delete exposures, and what was computed from them at once; the next refresh computes it without them."""
    mark_dirty(units=rows.filter(unit_type=FACTS_UNIT_TYPE).values_list("unit_id", flat=True))
    drop_states(experiment_ids=list(rows.order_by().values_list("experiment", flat=True).distinct()))
    return rows.delete()[0]


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
