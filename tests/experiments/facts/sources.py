"""The hand example behind each facts source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
from django.db import connection

from experiments.facts.database import DatabaseFacts
from experiments.models import Arm, Exposure, Phase
from tests.experiments.facts.hand_example import EVENTS, EXPOSURES, KEY
from tests.factories.experiments import T0, make_experiment

if TYPE_CHECKING:
    import ibis

EVENT_TABLE = "test_hand_events"


class TableFacts(DatabaseFacts):
    """Events in a plain table of Django's database."""

    unit_type = "bigint"

    def exposures(self, *, experiment_key: str, units: ibis.Table | None = None) -> ibis.Table:
        rows = super().exposures(experiment_key=experiment_key, units=units)
        return rows.mutate(unit=rows.unit.cast("int64"))

    def population(self, *, at: int) -> ibis.Table:
        import ibis

        table = ibis.table({"unit": "int64", "at": "int64"}, name=EVENT_TABLE)
        return table.filter(table.at < at).group_by("unit").agg(known_at=table.at.min())

    def events(
        self,
        *,
        event_types: Sequence[str],
        properties: Sequence[str],
        numbers: Sequence[str] = (),
        units: ibis.Table | None = None,
    ) -> ibis.Table:
        import ibis

        table = ibis.table(
            {
                "unit": "int64",
                "type": "string",
                "at": "int64",
                "value": "int64",
                "property_experiment": "string",
                "property_product": "string",
                "number_quantity": "int64",
            },
            name=EVENT_TABLE,
        )
        found = table.filter(table.type.isin(event_types))
        return found if units is None else found.filter(found.unit.isin(units.unit))


def store_hand_example() -> None:
    """The experiment with its exposures through the models, the events in a table of their own."""
    experiment = make_experiment(key=KEY, status="running")
    second = Phase.objects.create(experiment=experiment, number=2, started_at=T0, ended_at=T0)
    phases = {1: experiment.phases.get(number=1), 2: second}
    arms = {arm.key: arm for arm in Arm.objects.filter(experiment=experiment)}
    Exposure.objects.bulk_create(
        Exposure(
            experiment=experiment,
            phase=phases[phase],
            arm=arms[arm],
            unit_type="profile",
            unit_id=str(unit),
            first_at=first_at,
        )
        for unit, arm, phase, first_at in EXPOSURES
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TABLE {EVENT_TABLE} (unit bigint, type text, at bigint, value bigint, "
            "property_experiment text, property_product text, number_quantity bigint)"
        )
        cursor.executemany(f"INSERT INTO {EVENT_TABLE} VALUES (%s, %s, %s, %s, %s, %s, %s)", EVENTS)


def hand_tables() -> tuple[pa.Table, pa.Table]:
    """Exposures and events as Arrow tables; a data set has no properties, so clicks of others are left out."""
    exposures = [dict(zip(("unit", "arm", "phase", "first_at"), row, strict=True)) for row in EXPOSURES]
    events = [dict(zip(("unit", "type", "at", "value"), row[:4], strict=True)) for row in EVENTS]
    return pa.Table.from_pylist(exposures), pa.Table.from_pylist(events)
