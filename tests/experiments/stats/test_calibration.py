from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from experiments.stats.calibration import METRICS, FalsePositives, PlannedPower, SampleRatio, tasks
from experiments.stats.calibration_metrics import METRIC_TYPES, FixedHorizon, FixedQuantile, _row
from experiments.stats.calibration_tables import TABLES, Row, mark, markdown
from experiments.stats.sequential import Scale


@pytest.mark.parametrize("metric", ["conversion 1 %", "revenue, σ 1"])
def test_false_positives__few_runs__tell_every_table(metric: str) -> None:
    rows = FalsePositives(metric, 0.5, runs=60, seed=1).run()
    assert [row.table for row in rows] == ["sequential", "fixed", "group", "bayes"]
    for row in rows:
        assert len(row.cells) == len(TABLES[row.table].header)
        assert row.passes is (None if row.table == "bayes" else True)


def test_false_positives__skewed_values_in_unequal_arms__are_reported_or_refused() -> None:
    rows = {row.table: row for row in FalsePositives("revenue, σ 1.5", 0.01, runs=40, seed=1).run()}
    assert rows["fixed"].passes is None
    assert "refused" in rows["group"].cells
    assert float(rows["bayes"].cells[2]) > 20  # peeking is not free here either


def test_false_positives__a_procedure_that_fails__does_not_pass() -> None:
    task = FalsePositives("conversion 1 %", 0.5, runs=20_000, seed=1)
    assert task._sequential_row(Counter({"log floor": 1_200}), 0.1).passes is False
    assert task._sequential_row(Counter({"log floor": 1_050}), 0.1).passes is True
    assert task._fixed_row(np.array([[0.05, 0.065], [0.3, 0.3]])).passes is False
    assert task._fixed_row(np.array([[0.05, 0.052], [0.3, 0.3]])).passes is True
    assert task._group_row(np.array([0.05, 0.058])).passes is False


@pytest.mark.parametrize("scale", Scale)
@pytest.mark.parametrize("is_sequential", [True, False])
def test_planned_power__few_runs__finds_what_was_planned(scale: Scale, is_sequential: bool) -> None:
    task = PlannedPower("conversion 1 %", scale, is_sequential, runs=300, seed=1)
    (row,) = task.run()
    assert row.passes is True
    assert len(row.cells) == len(TABLES["power"].header)
    assert task.design in task.label
    assert float(row.cells[5]) == pytest.approx(80, abs=9)


def test_planned_power__too_little_power__does_not_pass() -> None:
    task = PlannedPower("conversion 1 %", Scale.ABSOLUTE, is_sequential=False, runs=20_000, seed=1)
    assert task._row(85_382, 0.0, 0.70, 0.95).passes is False
    assert task._row(85_382, 0.0, 0.80, 0.90).passes is False
    assert task._row(85_382, 0.0, 0.80, 0.95).passes is True
    sequential = PlannedPower("conversion 1 %", Scale.ABSOLUTE, is_sequential=True, runs=20_000, seed=1)
    assert sequential._row(163_496, 0.75, 0.80, 0.99).passes is False
    assert sequential._row(163_496, 0.85, 0.80, 0.93).passes is False


def test_sample_ratio__healthy_experiments__alarm_rarely() -> None:
    (row,) = SampleRatio((9.0, 1.0), runs=300, seed=1).run()
    assert row.passes is True
    assert row.cells[0] == "9 : 1"


@pytest.mark.parametrize("metric", METRIC_TYPES)
def test_fixed_horizon__few_runs__holds_level_and_coverage(metric: str) -> None:
    (row,) = FixedHorizon(metric, runs=600, seed=20261124).run()
    assert row.passes is True
    assert len(row.cells) == len(TABLES["types"].header)


@pytest.mark.parametrize("is_clustered", [False, True])
def test_fixed_quantile__few_runs__holds_level_and_coverage(is_clustered: bool) -> None:
    task = FixedQuantile(0.5, is_clustered, runs=200, seed=1)
    (row,) = task.run()
    assert row.passes is True
    assert row.cells[0] == task.name
    assert task.name in task.label


def test_fixed_horizon__p_values_that_are_not_uniform__do_not_pass() -> None:
    bent = np.linspace(0, 1, 2_000) ** 1.2
    bent[:100] = np.linspace(0, 0.0499, 100)  # the level is right, the rest is not
    bent[100:] = np.maximum(bent[100:], 0.051)
    covered = np.arange(2_000) >= 100
    assert _row("m", bent, covered, uniform=True).passes is False
    assert _row("m", bent, covered, uniform=False).passes is True
    assert _row("m", np.linspace(0, 1, 2_000), covered, uniform=True).passes is True
    assert _row("m", np.linspace(0, 1, 2_000), np.arange(2_000) >= 200, uniform=True).passes is False


def test_tasks__the_whole_grid__is_there() -> None:
    todo = tasks(runs=10, seed=1)
    assert {task.metric for task in todo if isinstance(task, FalsePositives)} == set(METRICS)
    assert len({task.label for task in todo}) == len(todo)


def test_markdown__rows_of_two_tables__come_in_order() -> None:
    text = markdown([Row("srm", ("1 : 1", "0", "1", "2", mark(False)), False), Row("group", ("m",) * 5, None)])
    assert text.index(TABLES["group"].title) < text.index(TABLES["srm"].title)
    assert "**no**" in text
    assert TABLES["power"].title not in text
