"""The one set of expressions: the hand example gives equal integers on every engine."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import ibis
import pytest
from pytest_django.fixtures import Settings

from experiments.facts.ages import numbers_by_age
from experiments.facts.database import DatabaseFacts
from experiments.facts.expressions import event_values, multi_arm_pairs, unit_totals
from experiments.facts.warehouse import WarehouseFacts, dataset_folder, remove_dataset, write_dataset
from experiments.ports import Facts
from tests.experiments.facts.hand_example import (
    EXPECTED,
    KEY,
    KIND_METRICS,
    METRICS,
    MULTI_ARM,
    ORDER_VALUES,
    UNTIL,
    T,
    kinds_expected,
)
from tests.experiments.facts.sources import TableFacts, hand_tables, store_hand_example


def rows(facts: Facts, expression: ibis.Table) -> list[tuple[object, ...]]:
    return [tuple(row.values()) for row in facts.execute(expression).to_pylist()]


@pytest.fixture
def database_facts(db: None) -> Facts:
    store_hand_example()
    return TableFacts()


@pytest.fixture
def warehouse_facts(tmp_path: Path, settings: Settings) -> Iterator[Facts]:
    settings.DATA_DIR = tmp_path
    exposures, events = hand_tables()
    write_dataset(KEY, exposures=exposures, events=events)
    yield WarehouseFacts(reference=KEY)
    remove_dataset(KEY)


def test_unit_totals__hand_example_in_the_database__equal_the_computed_integers(database_facts: Facts) -> None:
    expression = unit_totals(database_facts, experiment_key=KEY, metrics=METRICS, until=UNTIL)
    assert rows(database_facts, expression) == EXPECTED


@pytest.mark.parametrize("units_in_a_part", [1, 5])
def test_unit_totals__parquet_in_parts__equal_the_computed_integers_in_order(
    warehouse_facts: Facts, monkeypatch: pytest.MonkeyPatch, units_in_a_part: int
) -> None:
    monkeypatch.setattr("experiments.facts.warehouse.UNITS_IN_A_PART", units_in_a_part)
    expression = unit_totals(warehouse_facts, experiment_key=KEY, metrics=METRICS[:2], until=UNTIL)
    assert rows(warehouse_facts, expression) == [row[:-1] for row in EXPECTED]


def test_execute__parquet_in_parts__whatever_has_units_is_the_same_and_sums_stay_whole(
    warehouse_facts: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    exposures = warehouse_facts.exposures(experiment_key=KEY)
    expressions = [
        multi_arm_pairs(exposures, until=UNTIL),
        event_values(warehouse_facts, experiment_key=KEY, metric=METRICS[1], until=UNTIL),
        warehouse_facts.population(at=UNTIL).order_by("unit"),
        numbers_by_age(warehouse_facts, experiment_key=KEY, metric=METRICS[1], until=UNTIL),
    ]
    whole = [rows(warehouse_facts, expression) for expression in expressions]
    monkeypatch.setattr("experiments.facts.warehouse.UNITS_IN_A_PART", 3)
    assert [rows(warehouse_facts, expression) for expression in expressions] == whole
    assert all(whole)


def test_unit_totals__hand_example_in_parquet__equal_the_computed_integers(warehouse_facts: Facts) -> None:
    expression = unit_totals(warehouse_facts, experiment_key=KEY, metrics=METRICS[:2], until=UNTIL)
    assert rows(warehouse_facts, expression) == [row[:-1] for row in EXPECTED]


def test_unit_totals__every_kind_in_the_database__equal_the_computed_integers(database_facts: Facts) -> None:
    expression = unit_totals(database_facts, experiment_key=KEY, metrics=KIND_METRICS, until=UNTIL)
    assert rows(database_facts, expression) == kinds_expected()


def test_event_values__orders__one_row_for_each_in_its_window(database_facts: Facts) -> None:
    orders = dataclasses.replace(METRICS[0], definition=dataclasses.replace(METRICS[0].definition, aggregation="sum"))
    expression = event_values(database_facts, experiment_key=KEY, metric=orders, until=UNTIL)
    assert rows(database_facts, expression) == ORDER_VALUES


def test_unit_totals__parquet_without_properties__matches_no_filter(warehouse_facts: Facts) -> None:
    clicks = dataclasses.replace(METRICS[2], index=0)
    expression = unit_totals(warehouse_facts, experiment_key=KEY, metrics=[clicks], until=UNTIL)
    assert {row[-1] for row in rows(warehouse_facts, expression)} == {0}


def test_unit_totals__no_metrics__gives_the_units_only(database_facts: Facts) -> None:
    expression = unit_totals(database_facts, experiment_key=KEY, metrics=[], until=UNTIL)
    assert rows(database_facts, expression) == [row[:4] for row in EXPECTED]


def test_unit_totals__earlier_cut__counts_nothing_from_the_cut_on(database_facts: Facts) -> None:
    expression = unit_totals(database_facts, experiment_key=KEY, metrics=METRICS, until=T + 1)
    found = {row[0]: row[4] for row in rows(database_facts, expression)}
    assert found == {1: 0, 2: 0, 3: 0, 4: 1, 5: 0, 6: 0, 8: 0, 9: 0, 10: 0, 11: 0}


def test_unit_totals__delay__moves_the_window(database_facts: Facts) -> None:
    definition = dataclasses.replace(METRICS[0].definition, delay_hours=1)
    delayed = dataclasses.replace(METRICS[0], definition=definition)
    expression = unit_totals(database_facts, experiment_key=KEY, metrics=[delayed], until=UNTIL)
    found = {row[0]: row[4] for row in rows(database_facts, expression)}
    assert {unit for unit, converted in found.items() if converted} == {1, 3, 7, 8, 11}


def test_unit_totals__covariate_of_other_events__sums_their_values(database_facts: Facts) -> None:
    definition = dataclasses.replace(
        METRICS[2].definition, lookback_days=14, covariate_event_types=("Order Completed",)
    )
    metric = dataclasses.replace(METRICS[2], index=0, definition=definition)
    expression = unit_totals(database_facts, experiment_key=KEY, metrics=[metric], until=UNTIL)
    found = {row[0]: row[5] for row in rows(database_facts, expression)}
    assert {unit: value for unit, value in found.items() if value} == {2: 20_000_000, 7: 3_000_000, 9: 6_000_000}


@pytest.mark.parametrize("source", ["database_facts", "warehouse_facts"])
def test_multi_arm_pairs__hand_example__one_row_for_each_arm(source: str, request: pytest.FixtureRequest) -> None:
    facts = request.getfixturevalue(source)
    expression = multi_arm_pairs(facts.exposures(experiment_key=KEY), until=UNTIL)
    assert rows(facts, expression) == MULTI_ARM


def test_database_facts__without_events__says_so() -> None:
    with pytest.raises(TypeError, match="events, population"):
        DatabaseFacts()  # type: ignore[abstract]  # that is what is tested


def test_compile__any_source__gives_readable_sql(database_facts: Facts, warehouse_facts: Facts) -> None:
    for facts in (database_facts, warehouse_facts):
        sql = facts.compile(unit_totals(facts, experiment_key=KEY, metrics=METRICS[:1], until=UNTIL))
        assert "GROUP BY" in sql


@pytest.mark.parametrize("name", ["../secret", "a/b", "", "a b"])
def test_dataset_folder__name_that_is_no_slug__refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a data set name"):
        dataset_folder(name)


def test_write_dataset__wrong_column__leaves_nothing(tmp_path: Path, settings: Settings) -> None:
    settings.DATA_DIR = tmp_path
    exposures, _events = hand_tables()
    with pytest.raises(ValueError, match="schema"):
        write_dataset("broken", exposures=exposures, events=exposures)
    assert list((tmp_path / "parquet").iterdir()) == []


def test_column__no_null__is_laid_out_and_read_without_pandas() -> None:
    script = (
        "import decimal, sys\n"
        "import django\n"
        "django.setup()\n"
        "import pyarrow as pa\n"
        "from experiments.facts.database import column_array\n"
        "from experiments.services.totals import _fingerprint, _integers, _positions\n"
        "numbers = column_array((1, decimal.Decimal(2), -3), pa.int64())\n"
        "names = column_array(('a', '', 'größer'), pa.string())\n"
        "schema = pa.schema([('n', pa.int64()), ('t', pa.string())])\n"
        "table = pa.Table.from_batches([pa.RecordBatch.from_arrays([numbers, names], schema=schema)] * 2)\n"
        "assert _integers(table.column('n')).tolist() == [1, 2, -3] * 2\n"
        "assert _positions(table.column('t'), ['größer', 'a', '']).tolist() == [1, 2, 0] * 2\n"
        "assert len(_fingerprint([table])) == 64\n"
        "print('pandas' in sys.modules)\n"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings_test"}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, env=environment, timeout=120
    )
    assert (done.stdout, done.stderr) == ("False\n", "")
