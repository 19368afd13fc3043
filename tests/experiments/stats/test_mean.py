"""Means: against scipy and statsmodels, calibrated by simulation, vectorized."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from experiments.stats.aggregates import Aggregates, aggregate
from experiments.stats.estimates import LiftMethod
from experiments.stats.mean import compare_means, mean_estimate
from experiments.stats.results import Alternative, Reason
from experiments.stats.rows import SCIPY_NAMES


def _cells(control: np.ndarray, treatment: np.ndarray) -> Aggregates:
    return aggregate(
        {"y": np.concatenate([control, treatment])}, groups=np.repeat([0, 1], [control.size, treatment.size]), shift=3.0
    )


@pytest.mark.parametrize("alternative", list(Alternative))
@pytest.mark.parametrize("equal", [False, True])
def test_compare_means__samples__equal_to_scipy(alternative: Alternative, equal: bool) -> None:
    rng = np.random.default_rng(1)
    control, treatment = rng.gamma(2, 2, 37), rng.gamma(2, 2.6, 51)
    cells = _cells(control, treatment)
    result = compare_means(cells[0], cells[1], alternative=alternative, equal_variance=equal)
    peer = stats.ttest_ind(treatment, control, equal_var=equal, alternative=SCIPY_NAMES[alternative])
    assert float(result.p_value) == pytest.approx(float(peer.pvalue), rel=1e-11)
    interval = peer.confidence_interval(0.95)
    assert float(result.effect_ci.lower) == pytest.approx(float(interval.low), rel=1e-10)
    assert float(result.effect_ci.upper) == pytest.approx(float(interval.high), rel=1e-10)
    assert float(result.df) == pytest.approx(float(peer.df), rel=1e-11)


def test_compare_means__normal_quantiles__equal_to_statsmodels() -> None:
    from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

    rng = np.random.default_rng(2)
    control, treatment = rng.normal(5, 1, 80), rng.normal(5.4, 2, 60)
    peer = CompareMeans(DescrStatsW(treatment), DescrStatsW(control)).ztest_ind(usevar="unequal")
    cells = _cells(control, treatment)
    assert float(compare_means(cells[0], cells[1], use_t=False).p_value) == pytest.approx(float(peer[1]), rel=1e-11)
    assert compare_means(cells[0], cells[1], use_t=False, equal_variance=True).method == "pooled-z"


def test_compare_means__several_arms__broadcast_against_control() -> None:
    rng = np.random.default_rng(3)
    y, arm = rng.normal(10, 2, 900), np.repeat([0, 1, 2], 300)
    cells = aggregate({"y": y}, groups=arm, shift=10.0)
    result = compare_means(cells[0], cells[1:])
    assert result.shape == (2,)
    for place in (0, 1):
        alone = compare_means(cells[0], cells[place + 1]).at()
        assert result.at(place) == alone


def test_mean_estimate__weights__effective_number_of_units() -> None:
    rng = np.random.default_rng(4)
    y, w = rng.normal(size=200), rng.uniform(0.5, 2, 200)
    found = mean_estimate(aggregate({"y": y}, weights=w))
    n = w.sum() ** 2 / (w**2).sum()
    assert float(found.variance) == pytest.approx(float(np.cov(y, aweights=w)) / n, rel=1e-12)
    assert float(found.df) == pytest.approx(n - 1, rel=1e-12)


def test_compare_means__one_unit_or_none__too_few() -> None:
    cells = aggregate({"y": [1.0, 2.0, 3.0]}, groups=[0, 1, 1], n_groups=3)
    one = compare_means(cells[0], cells[1]).at()
    assert (one.effect, one.p_value, one.reason) == (1.5, None, Reason.TOO_FEW_UNITS)
    none = compare_means(cells[2], cells[1]).at()
    assert (none.effect, none.lift, none.reason) == (None, None, Reason.TOO_FEW_UNITS)
    pooled = compare_means(cells[0], cells[1], equal_variance=True).at()
    assert pooled.reason == Reason.TOO_FEW_UNITS


def test_compare_means__constant_arm__still_a_test() -> None:
    cells = aggregate({"y": [0.0, 0.0, 0.0, 1.0, 2.0, 4.0]}, groups=[0, 0, 0, 1, 1, 1])
    result = compare_means(cells[0], cells[1]).at()
    assert result.p_value is not None
    assert result.df == pytest.approx(2)
    assert result.lift_reason == Reason.NON_POSITIVE_MEAN
    same = compare_means(cells[0], cells[0]).at()
    assert (same.p_value, same.reason) == (None, Reason.NO_VARIANCE)


def test_compare_means__a_a_simulation__uniform_p_values_and_coverage() -> None:
    rng = np.random.default_rng(5)
    simulations, n = 8000, (60, 90)
    y = rng.gamma(3.0, 2.0, (simulations, sum(n)))
    parts = []
    for columns in (slice(0, n[0]), slice(n[0], None)):
        block = y[:, columns]
        count = np.full(simulations, float(block.shape[1]))
        parts.append(
            Aggregates(
                ("y",), np.zeros(1), count, count, count, block.sum(1)[:, None], (block**2).sum(1)[:, None, None]
            )
        )
    for method in (LiftMethod.LOG_RATIO, LiftMethod.FIELLER):
        result = compare_means(parts[0], parts[1], lift_method=method)
        error = 3 * math.sqrt(0.05 * 0.95 / simulations)
        assert abs((result.p_value < 0.05).mean() - 0.05) < error
        assert abs((result.lift_p_value < 0.05).mean() - 0.05) < error + 0.003
        assert stats.kstest(result.p_value, "uniform").pvalue > 1e-4
        assert abs(result.lift_ci.contains(0.0).mean() - 0.95) < error + 0.003
