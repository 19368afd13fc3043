"""Per-unit totals as columns: positions, days, and a fingerprint that does not depend on the engine."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from pytest_django.fixtures import Settings

from experiments.facts.warehouse import WarehouseFacts, write_dataset
from experiments.models import Experiment
from experiments.services.exposure import microseconds
from experiments.services.totals import UnitTotals, ended_days, load_totals
from tests.experiments.facts.hand_example import EXPECTED, KEY, METRICS, UNTIL
from tests.experiments.facts.sources import TableFacts, hand_tables, store_hand_example


def load(facts: TableFacts | WarehouseFacts) -> UnitTotals:
    return load_totals(
        facts=facts,
        experiment=Experiment(key=KEY),
        metrics=METRICS[:2],
        arms=["control", "treatment"],
        phases=[1, 2],
        until=UNTIL,
    )


@pytest.mark.django_db
def test_load_totals__database_and_parquet__are_equal_to_the_bit(tmp_path: Path, settings: Settings) -> None:
    store_hand_example()
    settings.DATA_DIR = tmp_path
    exposures, events = hand_tables()
    write_dataset(KEY, exposures=exposures, events=events)
    database, warehouse = load(TableFacts()), load(WarehouseFacts(reference=KEY))
    assert database.fingerprint == warehouse.fingerprint
    assert database.sql != warehouse.sql
    assert database.arm.tolist() == [0 if row[1] == "control" else 1 for row in EXPECTED]
    assert database.metrics[1].totals.tolist() == [row[6] for row in EXPECTED]
    assert warehouse.metrics[1].before is not None
    assert warehouse.metrics[1].before.tolist() == [row[7] for row in EXPECTED]
    assert (database.multi_arm, database.multi_arm_n) == ({"control": 1, "treatment": 1}, 1)


@pytest.mark.django_db
def test_load_totals__arm_that_the_plan_does_not_have__refused() -> None:
    store_hand_example()
    with pytest.raises(ValueError, match="'treatment', which the experiment does not have"):
        load_totals(
            facts=TableFacts(), experiment=Experiment(key=KEY), metrics=[], arms=["control"], phases=[1, 2], until=UNTIL
        )


def test_load_totals__nobody_exposed__gives_empty_columns(tmp_path: Path, settings: Settings) -> None:
    settings.DATA_DIR = tmp_path
    exposures, events = hand_tables()
    write_dataset("empty", exposures=exposures.slice(0, 0), events=events.slice(0, 0))
    totals = load(WarehouseFacts(reference="empty"))
    assert totals.units_n == 0
    assert totals.metrics[0].totals.size == 0


def test_load_totals__text_units__have_a_fingerprint_too(tmp_path: Path, settings: Settings) -> None:
    class TextFacts(WarehouseFacts):
        """The same people under names."""

        def execute(self, expression: object) -> pa.Table:
            table = super().execute(expression)
            if "unit" not in table.column_names:
                return table
            names = pa.array([f"person {unit}" for unit in table.column("unit").to_pylist()])
            return table.set_column(table.column_names.index("unit"), "unit", names)

    settings.DATA_DIR = tmp_path
    exposures, events = hand_tables()
    write_dataset(KEY, exposures=exposures, events=events)
    named, numbered = load(TextFacts(reference=KEY)), load(WarehouseFacts(reference=KEY))
    assert named.fingerprint != numbered.fingerprint
    assert named.fingerprint == load(TextFacts(reference=KEY)).fingerprint


def test_ended_days__local_midnights__end_the_days() -> None:
    first = microseconds(datetime(2026, 3, 28, 22, 30, tzinfo=UTC))  # 23:30 in Berlin, the night of summer time
    until = microseconds(datetime(2026, 3, 30, 22, 0, tzinfo=UTC))
    days, ends = ended_days(first_at=first, until=until, time_zone="Europe/Berlin")
    assert days == [date(2026, 3, 28), date(2026, 3, 29), date(2026, 3, 30)]
    hours = [(later - earlier) / 3_600_000_000 for earlier, later in itertools.pairwise(ends)]
    assert hours == [23.0, 24.0]


def test_ended_days__before_the_first_midnight__none() -> None:
    first = microseconds(datetime(2026, 3, 28, 10, tzinfo=UTC))
    assert ended_days(first_at=first, until=first + 1, time_zone="UTC") == ([], [])
