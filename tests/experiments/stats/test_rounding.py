"""What cancels down to the rounding of its sums is no variance: no test, a reason, never a spurious verdict."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.stats.aggregates import aggregate, from_sums
from experiments.stats.cuped import compare_adjusted
from experiments.stats.mean import compare_means
from experiments.stats.ratio import compare_ratios
from experiments.stats.regression import compare_ancova, compare_interacted
from experiments.stats.results import Reason
from experiments.stats.stratification import compare_stratified

CONSTANTS = [0.1, 1 / 3, 19.99, 1e-7, 123_456.789, -0.7]
GROUPS = np.repeat([0, 1], [3_000, 7_001])


@pytest.mark.parametrize("constant", CONSTANTS)
@pytest.mark.parametrize("n", [2, 3, 10, 999, 100_001])
def test_variance__constant_column__exactly_zero(constant: float, n: int) -> None:
    values, weights = np.full(n, constant), np.random.default_rng(n).uniform(0.1, 3.0, n)
    for cells in (aggregate({"y": values}), aggregate({"y": values}, weights=weights)):
        assert cells.variance() == 0.0
    halves = aggregate({"y": values}, groups=np.arange(n) % 2)
    assert halves.total(0).variance() == 0.0


def test_variance__sums_added_one_by_one__constant_has_none() -> None:
    values = np.full(100_000, 0.1)
    sums, squares = np.add.accumulate(values)[-1], np.add.accumulate(values * values)[-1]
    assert squares - sums * sums / values.size != 0  # the rounding that used to pass for a variance
    assert from_sums(["y"], count=values.size, sums=[sums], products={("y", "y"): squares}).variance() == 0.0


def test_covariance__with_constant_column__exactly_zero() -> None:
    rng = np.random.default_rng(1)
    cells = aggregate({"y": rng.normal(5, 1, 5_000), "x": np.full(5_000, 0.7)})
    assert cells.covariance("y", "x") == 0.0
    assert cells.variance("y") > 0.9


def test_variance__small_but_real_about_its_shift__kept() -> None:
    noise = np.random.default_rng(2).normal(0, 1, 20_000)
    exact = np.var(noise, ddof=1)
    assert aggregate({"y": 1e8 + noise}, shift=1e8).variance() == pytest.approx(exact, rel=1e-7)
    assert aggregate({"y": 1e4 + noise}).variance() == pytest.approx(exact, rel=1e-6)


def test_variance__shift_far_beyond_the_digits__told_as_none() -> None:
    noise = np.random.default_rng(3).normal(0, 1, 20_000)
    assert aggregate({"y": 1e9 + noise}).variance() == 0.0


@pytest.mark.parametrize("shift", [0.0, 0.25])
def test_comparisons__no_variance_left__reason_instead_of_p(shift: float) -> None:
    rng = np.random.default_rng(4)
    x = rng.gamma(2.0, 10.0, GROUPS.size)
    step = np.where(GROUPS == 0, 0.1, 0.3)
    cells = aggregate({"y": step, "x": x, "m": 0.3 * x, "sum": step + 0.3 * x}, groups=GROUPS, shift=shift)
    arms = cells[0], cells[1]
    results = [
        compare_means(*arms, column="y"),
        compare_ratios(*arms, numerator="m", denominator="x"),
        compare_interacted(*arms, outcome="y", covariates=["x"]).adjusted,
        compare_ancova(*arms, outcome="sum", covariates=["x"]).adjusted,
        compare_adjusted(*arms, outcome="m", covariates=["x"]).adjusted,
        compare_adjusted(*arms, outcome=("m", "x"), covariates=["x"]).raw,
        compare_stratified(cells[:1], cells[1:], outcome=("m", "x")).adjusted,
    ]
    for result in results:
        assert result.at().reason == Reason.NO_VARIANCE
        assert result.at().p_value is None


def test_adjustment__constant_covariate__falls_back_to_plain() -> None:
    rng = np.random.default_rng(5)
    y = rng.normal(3, 1, GROUPS.size)
    cells = aggregate({"y": y, "k": np.full(GROUPS.size, 0.7), "k2": np.full(GROUPS.size, 1 / 3)}, groups=GROUPS)
    for covariates in (["k"], ["k", "k2"]):
        told = compare_adjusted(cells[0], cells[1], outcome="y", covariates=covariates)
        assert told.theta.tolist() == [0.0] * len(covariates)
        assert told.adjusted.p_value == told.raw.p_value
