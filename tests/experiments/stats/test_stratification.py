"""Post-stratification: no Simpson's paradox, right errors, strata that are too small."""

from __future__ import annotations

import math

import numpy as np
import pytest

from experiments.stats.aggregates import Aggregates, aggregate
from experiments.stats.cuped import compare_adjusted
from experiments.stats.mean import compare_means
from experiments.stats.ratio import compare_ratios
from experiments.stats.results import Reason
from experiments.stats.stratification import StratumModel, compare_stratified


def _cells(y: np.ndarray, arm: np.ndarray, stratum: np.ndarray, **more: np.ndarray) -> Aggregates:
    strata = int(stratum.max()) + 1
    return aggregate({"y": y, **more}, groups=arm * strata + stratum, n_groups=2 * strata).reshape((2, strata))


def test_compare_stratified__by_hand__weighted_effects_and_both_noises() -> None:
    rng = np.random.default_rng(1)
    stratum, arm = rng.integers(0, 3, 600), rng.integers(0, 2, 600)
    y = 10.0 * stratum + arm + rng.normal(size=600)
    cells = _cells(y, arm, stratum)
    result = compare_stratified(cells[0], cells[1])
    share = np.bincount(stratum) / 600
    groups = [[y[(stratum == s) & (arm == a)] for s in range(3)] for a in (0, 1)]
    effects = np.array([groups[1][s].mean() - groups[0][s].mean() for s in range(3)])
    within = sum(share[s] ** 2 * sum(g[s].var(ddof=1) / g[s].size for g in groups) for s in range(3))
    between = ((share * effects**2).sum() - (share @ effects) ** 2) / 600
    assert float(result.adjusted.effect) == pytest.approx(float(share @ effects), rel=1e-10)
    assert float(result.adjusted.standard_error) == pytest.approx(math.sqrt(within + between), rel=1e-10)
    assert result.weights == pytest.approx(share)
    assert float(result.coverage) == 1.0
    assert float(result.adjusted.standard_error) < 0.3 * float(result.raw.standard_error)


def test_compare_stratified__allocation_changed_between_phases__no_paradox() -> None:
    rng = np.random.default_rng(2)
    phase = np.repeat([0, 1], 5000)
    arm = (rng.random(10_000) < np.where(phase == 0, 0.5, 0.9)).astype(int)
    y = np.where(phase == 0, 10.0, 5.0) + 0.3 * arm + rng.normal(size=10_000)
    cells = _cells(y, arm, phase)
    result = compare_stratified(cells[0], cells[1])
    assert float(result.raw.effect) < -0.5
    assert float(result.adjusted.effect) == pytest.approx(0.3, abs=0.1)


def test_compare_stratified__one_stratum__same_as_plain() -> None:
    rng = np.random.default_rng(3)
    y, x, arm, one = rng.normal(5, 1, 300), rng.normal(size=300), rng.integers(0, 2, 300), np.zeros(300, dtype=int)
    cells = _cells(y, arm, one, x=x)
    plain = compare_means(cells[0, 0], cells[1, 0]).at()
    found = compare_stratified(cells[0], cells[1])
    for result in (found.raw.at(), found.adjusted.at()):
        assert result.p_value == pytest.approx(plain.p_value, rel=1e-9)
        assert result.lift_p_value == pytest.approx(plain.lift_p_value, rel=1e-9)
    cuped = compare_adjusted(cells[0, 0], cells[1, 0], covariates=["x"]).adjusted.at()
    stratified = compare_stratified(cells[0], cells[1], covariates=["x"]).adjusted.at()
    assert stratified.p_value == pytest.approx(cuped.p_value, rel=1e-9)


@pytest.mark.parametrize("model", list(StratumModel))
def test_compare_stratified__with_covariate__saves_more(model: StratumModel) -> None:
    rng = np.random.default_rng(4)
    stratum, arm, x = rng.integers(0, 2, 2000), rng.integers(0, 2, 2000), rng.normal(size=2000)
    y = 20 + 5.0 * stratum + (1 + stratum) * x + 0.2 * arm + rng.normal(0, 0.5, 2000)
    cells = _cells(y, arm, stratum, x=x)
    plain, both = (
        compare_stratified(cells[0], cells[1]),
        compare_stratified(cells[0], cells[1], covariates=["x"], model=model),
    )
    assert float(both.adjusted.standard_error) < 0.5 * float(plain.adjusted.standard_error)
    assert abs(float(both.adjusted.effect) - 0.2) < 4 * float(both.adjusted.standard_error)


def test_compare_stratified__ratio__within_strata() -> None:
    rng = np.random.default_rng(5)
    stratum, arm = np.zeros(400, dtype=int), rng.integers(0, 2, 400)
    d = rng.poisson(5, 400) + 1.0
    m = d * rng.random(400)
    cells = _cells(m, arm, stratum, d=d)
    found = compare_stratified(cells[0], cells[1], outcome=("y", "d")).adjusted.at()
    assert found.p_value == pytest.approx(compare_ratios(cells[0, 0], cells[1, 0]).at().p_value, rel=1e-9)


def test_compare_stratified__small_stratum__left_out_and_said_so() -> None:
    rng = np.random.default_rng(6)
    stratum = np.concatenate([np.repeat([0, 1], 100), [2]])
    arm = np.concatenate([np.tile([0, 1], 100), [1]])
    y = np.concatenate([rng.normal(size=200), [1000.0]])
    cells = _cells(y, arm, stratum)
    result = compare_stratified(cells[0], cells[1])
    assert result.weights.tolist() == [0.5, 0.5, 0.0]
    assert float(result.coverage) == pytest.approx(200 / 201)
    assert abs(float(result.adjusted.effect)) < 1
    alone = compare_stratified(cells[0, 2:], cells[1, 2:])
    assert alone.adjusted.at().reason == Reason.TOO_FEW_UNITS
    assert float(alone.coverage) == 0.0


def test_compare_stratified__batch_of_metrics__one_result_each() -> None:
    rng = np.random.default_rng(7)
    y = rng.normal(size=1200)
    cells = aggregate({"y": y}, groups=rng.integers(0, 24, 1200), n_groups=24).reshape((2, 4, 3))
    result = compare_stratified(cells[0], cells[1])
    assert result.adjusted.shape == (4,)
    single = compare_stratified(cells[0, 2], cells[1, 2]).adjusted.at()
    assert result.adjusted.at(2).p_value == pytest.approx(single.p_value, rel=1e-12)


def test_compare_stratified__wrong_use__value_error() -> None:
    cells = aggregate({"y": [1.0, 2.0], "d": [1.0, 1.0]})
    with pytest.raises(ValueError, match="strata"):
        compare_stratified(cells, cells)
    strata = aggregate({"y": [1.0, 2.0], "d": [1.0, 1.0]}, groups=[0, 1])
    with pytest.raises(ValueError, match="CUPED only"):
        compare_stratified(strata, strata, outcome=("y", "d"), covariates=["d"], model=StratumModel.LIN)


def test_compare_stratified__simulation__size() -> None:
    rng = np.random.default_rng(8)
    simulations, n = 1500, 160
    stratum = (rng.random((simulations, n)) < 0.3).astype(int)
    arm = rng.integers(0, 2, (simulations, n))
    y = 3.0 * stratum + rng.gamma(2, 1, (simulations, n))
    groups = (np.arange(simulations)[:, None] * 2 + arm) * 2 + stratum
    cells = aggregate({"y": y.ravel()}, groups=groups.ravel(), n_groups=4 * simulations).reshape((simulations, 2, 2))
    found = compare_stratified(cells[:, 0], cells[:, 1]).adjusted
    assert abs((found.p_value < 0.05).mean() - 0.05) < 3 * math.sqrt(0.05 * 0.95 / simulations) + 0.003
