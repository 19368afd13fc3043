"""CUPED: variance saved, no bias, several covariates, gaps, ratios, pre-exposure bias."""

from __future__ import annotations

import math

import numpy as np
import pytest

from experiments.stats.aggregates import aggregate
from experiments.stats.cuped import LiftBase, Theta, adjust, compare_adjusted, pre_exposure_bias
from experiments.stats.linear import covariance_of, quadratic, solve
from experiments.stats.mean import compare_means
from experiments.stats.results import Alternative, Reason
from experiments.stats.rows import fill_missing


def test_compare_adjusted__by_hand__means_of_adjusted_rows() -> None:
    rng = np.random.default_rng(1)
    x, arm = rng.normal(10, 2, 500), rng.integers(0, 2, 500)
    y = 2 + 0.8 * x + 0.3 * arm + rng.normal(size=500)
    theta = np.cov(y, x)[0, 1] / x.var(ddof=1)
    rows = y - theta * (x - x.mean())
    cells = aggregate({"y": y, "x": x}, groups=arm, shift=[10.0, 10.0])
    plain = aggregate({"y": rows}, groups=arm, shift=10.0)
    found, expected = compare_adjusted(cells[0], cells[1]), compare_means(plain[0], plain[1]).at()
    result = found.adjusted.at()
    assert result.effect == pytest.approx(expected.effect, rel=1e-11)
    assert result.p_value == pytest.approx(expected.p_value, rel=1e-9)
    assert result.lift_p_value == pytest.approx(expected.lift_p_value, rel=1e-9)
    assert result.control == pytest.approx(expected.control, rel=1e-12)
    assert found.raw.at() == compare_means(cells[0], cells[1]).at()
    correlation = np.corrcoef(y, x)[0, 1]
    assert float(found.variance_saved) == pytest.approx(correlation**2, abs=0.05)


def test_adjust__several_covariates__least_squares_of_the_pooled_rows() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(800, 3)) @ np.array([[1, 0.4, 0], [0, 1, 0.2], [0, 0, 1]])
    y = x @ np.array([0.5, -1.0, 2.0]) + rng.normal(size=800)
    data = {"y": y, "a": x[:, 0], "b": x[:, 1], "c": x[:, 2]}
    cells = aggregate(data, groups=np.repeat([0, 1], 400))
    found = adjust(cells[0], cells[1], covariates=["a", "b", "c"])
    design = np.column_stack([np.ones(800), x])
    expected = np.linalg.lstsq(design, y, rcond=None)[0][1:]
    assert found.theta == pytest.approx(expected, rel=1e-9)
    assert float(found.variance_saved) > 0.7


def test_adjust__constant_or_collinear_covariate__drops_out() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=200)
    y = x + rng.normal(size=200)
    data = {"y": y, "x": x, "twice": 2 * x, "one": np.ones(200)}
    cells = aggregate(data, groups=np.repeat([0, 1], 100))
    alone = compare_adjusted(cells[0], cells[1], covariates=["x"]).adjusted.at()
    together = compare_adjusted(cells[0], cells[1], covariates=["x", "twice", "one"]).adjusted.at()
    assert together.p_value == pytest.approx(alone.p_value, rel=1e-8)
    constant = compare_adjusted(cells[0], cells[1], covariates=["one"])
    assert constant.theta.tolist() == [0.0]
    assert constant.adjusted.at().p_value == pytest.approx(constant.raw.at().p_value, rel=1e-12)
    assert float(constant.variance_saved) == 0.0


def test_fill_missing__zero_and_indicator__keeps_everybody_and_saves_variance() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(50, 10, 1000)
    y = 0.2 * x + rng.normal(size=1000)
    known = np.where(rng.random(1000) < 0.3, np.nan, x)
    filled = fill_missing(known)
    data = {"y": y, "x": filled.values, "gap": filled.missing}
    cells = aggregate(data, groups=np.repeat([0, 1], 500))
    with_both = compare_adjusted(cells[0], cells[1], covariates=["x", "gap"])
    zero_only = compare_adjusted(cells[0], cells[1], covariates=["x"])
    assert cells.count.sum() == 1000
    assert float(with_both.variance_saved) > float(zero_only.variance_saved) + 0.3


def test_compare_adjusted__covariate_at_1e8__same_as_near_zero() -> None:
    rng = np.random.default_rng(5)
    x = np.round(rng.normal(size=600) * 2**20) / 2**20
    y = x + np.round(rng.normal(size=600) * 2**20) / 2**20
    near = aggregate({"y": y, "x": x}, groups=np.repeat([0, 1], 300))
    far = aggregate({"y": y + 2**27, "x": x + 2**27}, groups=np.repeat([0, 1], 300), shift=[2.0**27, 2.0**27])
    a, b = (compare_adjusted(cells[0], cells[1]).adjusted for cells in (near, far))
    assert float(b.effect) == pytest.approx(float(a.effect), rel=1e-11)
    assert float(b.standard_error) == pytest.approx(float(a.standard_error), rel=1e-11)


def test_compare_adjusted__ratio_with_ratio_covariate__linearized_rows() -> None:
    rng = np.random.default_rng(6)
    base = rng.gamma(2, 1, 1000)
    dx, d = rng.poisson(5, 1000) + 1.0, rng.poisson(5, 1000) + 1.0
    mx, m = dx * base + rng.normal(size=1000), d * base + rng.normal(size=1000)
    cells = aggregate({"m": m, "d": d, "mx": mx, "dx": dx}, groups=np.repeat([0, 1], 500))
    pooled = compare_adjusted(cells[0], cells[1], outcome=("m", "d"), covariates=[("mx", "dx")])
    within = adjust(cells[0], cells[1], outcome=("m", "d"), covariates=[("mx", "dx")], theta=Theta.WITHIN_ARMS)
    r, q = m.sum() / d.sum(), mx.sum() / dx.sum()
    y, x = (m - r * d) / d.mean(), (mx - q * dx) / dx.mean()
    assert float(pooled.theta[0]) == pytest.approx(np.cov(y, x)[0, 1] / x.var(ddof=1), rel=1e-10)
    assert float(within.theta[0]) == pytest.approx(float(pooled.theta[0]), rel=0.05)
    assert float(pooled.variance_saved) > 0.3


def test_compare_adjusted__unadjusted_base__undefined_without_a_positive_control() -> None:
    data = {"y": [-1.0, -2.0, -4.0, 3.0, 4.0, 5.0], "x": [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]}
    cells = aggregate(data, groups=[0, 0, 0, 1, 1, 1])
    result = compare_adjusted(cells[0], cells[1], lift_base=LiftBase.UNADJUSTED).adjusted.at()
    assert (result.lift, result.lift_reason) == (None, Reason.NON_POSITIVE_MEAN)
    assert result.p_value is not None
    one_sided = compare_adjusted(
        cells[1], cells[0], lift_base=LiftBase.UNADJUSTED, alternative=Alternative.LESS, ddof=0
    ).adjusted.at()
    assert one_sided.lift_ci is not None
    assert one_sided.lift_ci.lower == -math.inf


def test_adjust__undefined__reasons() -> None:
    cells = aggregate({"y": [1.0, 2.0], "x": [1.0, 2.0]}, groups=[0, 1])
    assert compare_adjusted(cells[0], cells[1]).adjusted.at().reason == Reason.TOO_FEW_UNITS
    same = aggregate({"y": [1.0, 1.0, 1.0, 1.0], "x": [1.0, 1.0, 1.0, 1.0]}, groups=[0, 0, 1, 1])
    result = compare_adjusted(same[0], same[1])
    assert result.adjusted.at().reason == Reason.NO_VARIANCE
    assert np.isnan(result.variance_saved)
    empty = aggregate({"m": [1.0, 1, 2, 3], "d": [0.0, 0, 0, 0], "x": [1.0, 2, 3, 4]}, groups=[0, 0, 1, 1])
    ratio = compare_adjusted(empty[0], empty[1], outcome=("m", "d"), covariates=["x"]).adjusted.at()
    assert ratio.reason == Reason.ZERO_DENOMINATOR


def test_adjust__wrong_use__value_error() -> None:
    cells = aggregate({"y": [1.0, 2.0], "x": [1.0, 2.0]})
    with pytest.raises(ValueError, match="covariates must name"):
        adjust(cells, cells, covariates=[])
    with pytest.raises(ValueError, match="ddof"):
        adjust(cells, cells, ddof=2)


def test_pre_exposure_bias__broken_assignment__tiny_p_value() -> None:
    rng = np.random.default_rng(7)
    x = np.concatenate([rng.normal(5, 1, 2000), rng.normal(5.3, 1, 2000)])
    cells = aggregate({"y": x, "x": x}, groups=np.repeat([0, 1], 2000), shift=5.0)
    assert float(pre_exposure_bias(cells[0], cells[1], covariate="x").p_value) < 1e-10


def test_compare_adjusted__simulation__size_and_power() -> None:
    rng = np.random.default_rng(8)
    simulations, n = 1500, 100
    x = rng.gamma(2, 1, (simulations, 2 * n))
    y = x + rng.normal(0, 0.7, (simulations, 2 * n))
    groups = np.repeat(np.arange(2 * simulations), n)
    cells = aggregate({"y": y.ravel(), "x": x.ravel()}, groups=groups).reshape((simulations, 2))
    result = compare_adjusted(cells[:, 0], cells[:, 1])
    error = 3 * math.sqrt(0.05 * 0.95 / simulations)
    assert abs((result.adjusted.p_value < 0.05).mean() - 0.05) < error
    assert abs((result.raw.p_value < 0.05).mean() - 0.05) < error
    moved = y.copy()
    moved[:, n:] += 0.3
    cells = aggregate({"y": moved.ravel(), "x": x.ravel()}, groups=groups).reshape((simulations, 2))
    result = compare_adjusted(cells[:, 0], cells[:, 1])
    assert (result.adjusted.p_value < 0.05).mean() > (result.raw.p_value < 0.05).mean() + 0.3
    assert abs(result.adjusted.effect_ci.contains(0.3).mean() - 0.95) < error


def test_solve__no_covariate_and_singular__defined() -> None:
    assert solve(np.zeros((2, 1, 1)), np.ones((2, 1))).tolist() == [[0.0], [0.0]]
    assert quadratic(np.zeros((0, 0)), np.zeros((3, 0)), np.zeros((3, 0))).tolist() == [0.0, 0.0, 0.0]
    matrix = np.array([[2.0, 1.0], [1.0, 3.0]])
    target = np.array([1.0, -1.0])
    assert solve(matrix, target) == pytest.approx(np.linalg.solve(matrix, target), rel=1e-12)


def test_covariance_of__unused_missing_product__not_touched() -> None:
    cells = aggregate({"y": [1.0, 3.0], "x": [1.0, 2.0]})
    assert float(covariance_of(cells, np.array([0.0, 0.0]), np.array([1.0, 0.0]))) == 0.0
