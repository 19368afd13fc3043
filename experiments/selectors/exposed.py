"""Who met which arm of the experiments that run now: for what must know, like the training of recommenders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.db.models import Count, Min

from experiments.choices import ExperimentStatus
from experiments.models import Exposure


@dataclass(frozen=True, slots=True)
class ExposedUnits:
    """The units of one arm by id, each with its first exposure in microseconds."""

    experiment: str
    arm: str
    is_control: bool
    units: tuple[tuple[str, int], ...]


def list_exposed(*, unit_type: str, until: int) -> list[ExposedUnits]:
    """Return the units exposed before `until`, by arm, of experiments that run or pause. One query."""
    rows = (
        Exposure.objects.filter(
            experiment__status__in=(ExperimentStatus.RUNNING, ExperimentStatus.PAUSED),
            unit_type=unit_type,
            first_at__lt=until,
        )
        .order_by("experiment__key", "arm__key", "unit_id", "first_at")
        .values_list("experiment__key", "arm__key", "arm__is_control", "unit_id", "first_at")
    )
    found: dict[tuple[str, str, bool], dict[str, int]] = {}
    for experiment, arm, is_control, unit_id, first_at in rows.iterator(chunk_size=10_000):
        found.setdefault((experiment, arm, is_control), {}).setdefault(unit_id, first_at)
    return [ExposedUnits(*key, units=tuple(units.items())) for key, units in found.items()]


def each_exposed(*, experiment_key: str, unit_type: str) -> Iterator[tuple[str, str, int]]:
    """Yield (unit, arm, first exposure in µs) of one experiment in any state; a unit that met two arms is left out."""
    rows = (
        Exposure.objects.filter(experiment__key=experiment_key, unit_type=unit_type)
        .order_by()
        .values("unit_id")
        .annotate(arms=Count("arm", distinct=True), arm_key=Min("arm__key"), at=Min("first_at"))
        .filter(arms=1)
        .values_list("unit_id", "arm_key", "at")
    )
    yield from rows.iterator(chunk_size=10_000)
