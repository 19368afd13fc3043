"""Proportions and their score intervals: by hand, against statsmodels, by simulation."""

from __future__ import annotations

import math
import warnings
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import xlog1py, xlogy
from scipy.stats import chi2_contingency

from experiments.stats.aggregates import aggregate
from experiments.stats.estimates import LiftMethod
from experiments.stats.proportion import (
    ProportionInterval,
    compare_proportion_aggregates,
    compare_proportions,
    contingency_p_value,
)
from experiments.stats.results import Alternative, Reason
from experiments.stats.score import (
    Counts,
    miettinen_nurminen,
    miettinen_nurminen_ratio,
    newcombe,
    restricted_rates,
    score_statistic,
    wilson,
)

Z = 1.959963984540054
TABLES = [(10, 100, 20, 100), (3, 40, 9, 35), (56, 70, 48, 80), (200, 1000, 260, 1100)]


def test_compare_proportions__by_hand__own_variances() -> None:
    result = compare_proportions(1000, 10_000, 1080, 10_000).at()
    error = math.sqrt(0.1 * 0.9 / 10_000 + 0.108 * 0.892 / 10_000)
    assert result.standard_error == pytest.approx(error, rel=1e-14)
    assert result.effect_ci is not None
    assert result.effect_ci.lower == pytest.approx(0.008 - Z * error, rel=1e-12)
    assert result.log_ratio_standard_error == pytest.approx(math.sqrt(0.9 / 1000 + 0.892 / 1080), rel=1e-14)
    assert result.df == math.inf


def test_compare_proportion_aggregates__zero_one_column__same_as_counts() -> None:
    rng = np.random.default_rng(1)
    y, arm = rng.integers(0, 2, 400), np.repeat([0, 1], 200)
    cells = aggregate({"y": y}, groups=arm, shift=0.5)
    counts = [int(y[arm == a].sum()) for a in (0, 1)]
    found = compare_proportion_aggregates(cells[0], cells[1], interval=ProportionInterval.NEWCOMBE).at()
    expected = compare_proportions(counts[0], 200, counts[1], 200, interval=ProportionInterval.NEWCOMBE).at()
    assert found.p_value == pytest.approx(expected.p_value, rel=1e-10)
    assert found.effect == pytest.approx(expected.effect, rel=1e-12)
    empty = aggregate({"y": [1.0]}, groups=[0], n_groups=2)
    assert compare_proportion_aggregates(empty[0], empty[1]).at().reason == Reason.TOO_FEW_UNITS


@pytest.mark.parametrize("table", TABLES)
def test_newcombe__tables__equal_to_statsmodels(table: tuple[int, int, int, int]) -> None:
    from statsmodels.stats.proportion import confint_proportions_2indep

    x_c, n_c, x_t, n_t = table
    interval = newcombe(Counts.of(*table)).interval
    expected = confint_proportions_2indep(x_t, n_t, x_c, n_c, method="newcomb")
    assert [float(interval.lower), float(interval.upper)] == pytest.approx([float(b) for b in expected], rel=1e-10)


@pytest.mark.parametrize("table", TABLES)
def test_miettinen_nurminen__tables__p_value_and_ratio_equal_to_statsmodels(table: tuple[int, int, int, int]) -> None:
    from statsmodels.stats.proportion import confint_proportions_2indep, score_test_proportions_2indep

    x_c, n_c, x_t, n_t = table
    expected = score_test_proportions_2indep(x_t, n_t, x_c, n_c, compare="diff")
    assert float(miettinen_nurminen(Counts.of(*table)).p_value) == pytest.approx(float(expected.pvalue), rel=1e-10)
    ratio = miettinen_nurminen_ratio(Counts.of(*table)).interval
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bounds = confint_proportions_2indep(x_t, n_t, x_c, n_c, method="score", compare="ratio")
    assert [float(ratio.lower) + 1, float(ratio.upper) + 1] == pytest.approx([float(b) for b in bounds], rel=1e-6)


@pytest.mark.parametrize(("x_c", "x_t", "n"), [(1, 30, 10**8), (10, 60, 10**7), (0, 25, 10**9)])
@pytest.mark.parametrize("share", [Fraction(0), Fraction(1, 3), Fraction(-1, 4)])
def test_restricted_rates__tiny_rates__keep_their_digits(x_c: int, x_t: int, n: int, share: Fraction) -> None:
    difference = share * x_t / n
    control, treatment = restricted_rates(Counts.of(x_c, n, x_t, n), float(difference))

    def slope(rate: Fraction) -> Fraction:
        """The log likelihood's derivative, decreasing in the control's rate."""
        moved = rate + difference
        return x_c / rate - (n - x_c) / (1 - rate) + x_t / moved - (n - x_t) / (1 - moved)

    low, high = max(Fraction(0), -difference) + Fraction(1, 10**30), Fraction(1, 1000)
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    assert float(treatment) == pytest.approx(float(high + difference), rel=1e-7, abs=0)
    assert float(control) == pytest.approx(float(high), rel=1e-7, abs=1e-16)


@settings(max_examples=150, deadline=None)
@given(
    n=st.tuples(st.integers(3, 80), st.integers(3, 80)),
    shares=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    difference=st.floats(-0.95, 0.95),
)
def test_restricted_rates__any_table__maximize_the_likelihood(
    n: tuple[int, int], shares: tuple[float, float], difference: float
) -> None:
    # statsmodels' own solution misses this maximum for differences away from zero
    x = round(n[0] * shares[0]), round(n[1] * shares[1])

    def likelihood(p: np.ndarray) -> np.ndarray:
        q = np.clip(p + difference, 0, 1)
        return np.asarray(xlogy(x[0], p) + xlog1py(n[0] - x[0], -p) + xlogy(x[1], q) + xlog1py(n[1] - x[1], -q))

    control, treatment = restricted_rates(Counts.of(x[0], n[0], x[1], n[1]), difference)
    assert float(treatment - control) == pytest.approx(difference, abs=1e-12)
    grid = np.linspace(max(0.0, -difference), min(1.0, 1 - difference), 4001)[1:-1]
    inside = np.clip(control, grid[0], grid[-1])
    assert float(likelihood(inside)) >= float(likelihood(grid).max()) - 1e-4


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), alpha=st.floats(0.001, 0.4), alternative=st.sampled_from(list(Alternative)))
def test_score_methods__any_tables__p_value_agrees_with_interval(
    seed: int, alpha: float, alternative: Alternative
) -> None:
    rng = np.random.default_rng(seed)
    n_c, n_t = rng.integers(2, 400, (2, 200))
    counts = Counts.of(rng.binomial(n_c, rng.random(200)), n_c, rng.binomial(n_t, rng.random(200)), n_t)
    events = counts.successes_control + counts.successes_treatment > 0
    for method in (newcombe, miettinen_nurminen, miettinen_nurminen_ratio):
        result = method(counts, alpha=alpha, alternative=alternative)
        clear = (np.abs(result.p_value - alpha) > 1e-6) & (events | (method is not miettinen_nurminen_ratio))
        lower, upper = result.interval.lower[clear], result.interval.upper[clear]
        assert (lower <= upper).all()
        assert (((lower > 1e-12) | (upper < -1e-12)) == (result.p_value[clear] < alpha)).all()


def test_score_methods__zero_events__defined() -> None:
    counts = Counts.of([0, 0, 5, 50], [10, 10_000, 5, 10_000], [0, 50, 5, 0], [10, 10_000, 5, 10_000])
    for method in (newcombe, miettinen_nurminen):
        result = method(counts)
        assert np.isfinite(result.interval.lower).all()
        assert np.isfinite(result.interval.upper).all()
        assert result.p_value[[0, 2]].tolist() == [1.0, 1.0]
        assert (result.p_value[[1, 3]] < 1e-9).all()
    ratio = miettinen_nurminen_ratio(counts).interval
    assert [ratio.at(i) is None for i in range(4)] == [True, False, False, False]
    assert ratio.upper[1] == np.inf
    assert ratio.lower[3] == -1.0
    assert float(score_statistic(Counts.of(0, 5, 5, 5), 0.5)) > 0
    assert float(score_statistic(Counts.of(5, 5, 5, 5), 0.0)) == 0.0
    assert float(score_statistic(Counts.of(0, 5, 0, 5), -1.0)) > 0


def test_wilson__both_ends__zero_and_one() -> None:
    lower, upper = wilson([0, 5, 10], 10, Z)
    assert float(lower[0]) == 0.0
    assert float(upper[2]) == 1.0
    assert float(lower[1]) == pytest.approx(1 - float(upper[1]))


@pytest.mark.parametrize("interval", [ProportionInterval.NEWCOMBE, ProportionInterval.MIETTINEN_NURMINEN])
def test_compare_proportions__score_interval__replaces_the_absolute_part_only(interval: ProportionInterval) -> None:
    wald = compare_proportions(0, 100, 8, 100)
    result = compare_proportions(0, 100, 8, 100, interval=interval)
    assert result.at().method == str(interval)
    assert result.at().p_value is not None
    assert result.at().effect == wald.at().effect
    assert result.at().lift_reason == Reason.NON_POSITIVE_MEAN
    both_zero = compare_proportions(0, 100, 0, 100, interval=interval).at()
    assert both_zero.p_value == 1.0
    assert both_zero.reason is None
    assert compare_proportions(0, 0, 1, 10, interval=interval).at().reason == Reason.TOO_FEW_UNITS


def test_compare_proportions__methods__named() -> None:
    table = 10, 100, 20, 100
    assert compare_proportions(*table).method == "wald"
    assert compare_proportions(*table, pooled=True, continuity=True).method == "pooled-wald-corrected"
    assert compare_proportions(*table, use_t=True).method == "t"


def test_compare_proportions__continuity_and_fieller__p_value_is_that_of_its_interval() -> None:
    result = compare_proportions(30, 200, 46, 200, continuity=True, lift_method=LiftMethod.FIELLER).at()
    assert result.lift_ci is not None
    assert result.lift_p_value is not None
    assert result.p_value is not None
    assert result.p_value > 0.05 > result.lift_p_value
    assert result.lift_ci.lower > 0


def test_compare_proportions__continuity__never_past_zero() -> None:
    result = compare_proportions(10, 100, 10, 100, continuity=True).at()
    assert result.p_value == 1.0
    assert compare_proportions(10, 100, 11, 120, continuity=True).at().p_value == 1.0


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("log_likelihood", [False, True])
@pytest.mark.parametrize("continuity", [False, True])
def test_contingency_p_value__tables__equal_to_scipy(
    table: tuple[int, int, int, int], log_likelihood: bool, continuity: bool
) -> None:
    x_c, n_c, x_t, n_t = table
    expected = chi2_contingency(
        [[x_c, n_c - x_c], [x_t, n_t - x_t]],
        correction=continuity,
        lambda_="log-likelihood" if log_likelihood else "pearson",
    ).pvalue
    found = contingency_p_value(*table, log_likelihood=log_likelihood, continuity=continuity)
    assert float(found) == pytest.approx(float(expected), rel=1e-11)


def test_contingency_p_value__empty_margin__undefined() -> None:
    assert np.isnan(contingency_p_value(0, 10, 0, 10))


@pytest.mark.parametrize("table", [(-1, 10, 2, 10), (2, 10, 11, 10), (1, 0, 1, 1)])
def test_counts__impossible__value_error(table: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="successes must lie"):
        Counts.of(*table)


def test_intervals__simulation__cover_as_promised() -> None:
    rng = np.random.default_rng(11)
    x_c, x_t = rng.binomial(600, 0.1, 8_000), rng.binomial(400, 0.13, 8_000)
    error = 3 * math.sqrt(0.95 * 0.05 / 8_000)
    for interval, slack in (
        (ProportionInterval.WALD, 0.005),
        (ProportionInterval.NEWCOMBE, 0.005),
        (ProportionInterval.MIETTINEN_NURMINEN, 0.004),
    ):
        result = compare_proportions(x_c, 600, x_t, 400, interval=interval)
        assert abs(result.effect_ci.contains(0.03).mean() - 0.95) < error + slack
        assert abs(result.lift_ci.contains(0.3).mean() - 0.95) < error + 0.005
