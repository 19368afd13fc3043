from __future__ import annotations

import numpy as np
import pytest

from experiments.stats import simulate as module
from experiments.stats.floors import FloorKind
from experiments.stats.results import Alternative
from experiments.stats.sequential import Scale
from experiments.stats.simulate import Conversion, Revenue, SimulatedMetric, simulate


@pytest.mark.parametrize("metric", [Conversion(0.05), Revenue(1.0)])
def test_simulate__many_runs__have_the_baselines_mean_and_variance(metric: SimulatedMetric) -> None:
    batch = simulate(np.random.default_rng(20261124), metric, runs=3_000, total_units=40_000, looks=4, lift=0.1)
    baseline = metric.baseline()
    last = batch.comparison.treatment[-1]
    assert last.mean() == pytest.approx(baseline.mean * 1.1, rel=0.01)
    assert last.var() * 20_000 == pytest.approx(baseline.variance(0.1), rel=0.15)
    assert batch.comparison.control[-1].mean() == pytest.approx(baseline.mean, rel=0.01)


def test_simulate__same_seed__draws_the_same() -> None:
    first, second = (
        simulate(np.random.default_rng(5), Revenue(1.5), runs=3, total_units=5_000, looks=5).comparison.effect
        for _ in range(2)
    )
    assert first.tolist() == second.tolist()


def test_simulate__looks__accumulate_units_and_events() -> None:
    batch = simulate(np.random.default_rng(1), Conversion(0.2), runs=2, total_units=1_000, looks=10, control_share=0.1)
    assert (batch.n_control + batch.n_treatment).ravel().tolist() == list(range(100, 1_001, 100))
    assert batch.n_control.ravel().tolist() == list(range(10, 101, 10))
    assert np.all(np.diff(batch.events_control, axis=0) >= 0)


def test_simulate__arm_of_very_many_buyers__has_the_same_law(monkeypatch: pytest.MonkeyPatch) -> None:
    def effects(limit: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        monkeypatch.setattr(module, "EXACT_BUYERS", limit)
        rng = np.random.default_rng(20261124)
        batch = simulate(rng, Revenue(0.5), runs=2_000, total_units=60_000, looks=2)
        return np.asarray(batch.comparison.effect[-1] / batch.comparison.standard_error[-1])

    for told in (effects(10**9), effects(1)):
        assert told.mean() == pytest.approx(0, abs=0.08)
        assert told.std() == pytest.approx(1, abs=0.06)


def test_simulate__one_sided__reaches_the_engine() -> None:
    batch = simulate(
        np.random.default_rng(1),
        Conversion(0.2),
        runs=50,
        total_units=2_000,
        looks=1,
        lift=0.5,
        alternative=Alternative.GREATER,
    )
    assert np.isinf(batch.comparison.effect_ci.upper).all()


def test_batch_refused__few_events__follows_the_floors() -> None:
    batch = simulate(np.random.default_rng(1), Conversion(0.1), runs=4, total_units=2_000, looks=10)
    refused = batch.refused(scale=Scale.ABSOLUTE)
    assert batch.kind is FloorKind.PROPORTION
    assert refused[0].all()
    assert not refused[-1].any()


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_simulate__arm_without_units__is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="control_share"):
        simulate(np.random.default_rng(1), Conversion(0.1), runs=1, total_units=10, control_share=share)


def test_metrics__what_they_cost__is_known() -> None:
    assert (Conversion(0.1).draws_per_unit, Conversion(0.1).event_rate) == (0.0, 0.1)
    assert (Revenue(1.0).draws_per_unit, Revenue(1.0).event_rate) == (0.01, 0.01)
