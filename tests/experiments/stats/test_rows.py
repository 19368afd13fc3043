"""Methods on rows: quantiles with clusters, bootstrap, ranks; retention and capping."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from experiments.stats.aggregates import aggregate
from experiments.stats.capping import Cap, compare_capped, percentile_cap
from experiments.stats.mean import compare_means
from experiments.stats.quantile import (
    check_quantile,
    compare_quantiles,
    fewest_observations,
    quantile_estimate,
    summarize,
)
from experiments.stats.ratio import compare_ratios
from experiments.stats.results import Alternative, Reason
from experiments.stats.retention import DAY, compare_retention, count_retained, retention
from experiments.stats.rows import BootstrapInterval, bootstrap, mann_whitney, poisson_bootstrap, quantile_summary


def test_quantile_estimate__normal_sample__error_of_the_asymptotic_formula() -> None:
    rng = np.random.default_rng(1)
    for q in (0.25, 0.5, 0.9):
        found = quantile_estimate(quantile_summary(rng.normal(size=200_000), quantile=q))
        density = stats.norm.pdf(stats.norm.ppf(q))
        assert float(found.standard_error) == pytest.approx(math.sqrt(q * (1 - q) / 200_000) / density, rel=0.1)
        assert float(found.value) == pytest.approx(stats.norm.ppf(q), abs=0.01)


def test_quantile_summary__order_statistics__interval_for_the_rank() -> None:
    summary = quantile_summary(np.arange(1.0, 1001.0), quantile=0.5)
    half = 1.959963984540054 * math.sqrt(1000 * 0.25)
    assert float(summary.lower) == math.ceil(500 - half)
    assert float(summary.upper) == math.ceil(500 + half)
    small = quantile_summary([1.0, 2.0, 3.0], quantile=0.9)
    assert np.isnan(small.lower)
    assert compare_quantiles(small, small).at().reason == Reason.TOO_FEW_UNITS
    assert np.isnan(quantile_summary([], quantile=0.5).value)


def test_compare_quantiles__clusters_ignored__rejects_far_too_often() -> None:
    rng = np.random.default_rng(2)
    wins = {"clusters": 0, "ignored": 0}
    clusters = np.repeat(np.arange(80), 12)
    for _ in range(400):
        arms = [np.repeat(rng.normal(size=80), 12) + 0.3 * rng.normal(size=960) for _ in (0, 1)]
        for name in wins:
            labels = clusters if name == "clusters" else None
            c, t = (quantile_summary(a, quantile=0.75, clusters=labels) for a in arms)
            wins[name] += float(compare_quantiles(c, t).p_value) < 0.05
    assert wins["clusters"] / 400 < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400) + 0.02
    assert wins["ignored"] / 400 > 0.3


def test_compare_quantiles__simulation__size_with_independent_values() -> None:
    rng = np.random.default_rng(3)
    wins = sum(
        float(compare_quantiles(*(quantile_summary(rng.gamma(2, 1, 500), quantile=0.9) for _ in (0, 1))).p_value) < 0.05
        for _ in range(600)
    )
    assert wins / 600 < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 600) + 0.02


def test_quantiles__wrong_use__value_error() -> None:
    with pytest.raises(ValueError, match="quantile must be in"):
        check_quantile(1.0)
    with pytest.raises(ValueError, match="level must be in"):
        summarize(1, 1, 1, 10, quantile=0.5, level=1.0)
    a, b = summarize(1, 0.9, 1.1, 100, quantile=0.5), summarize(1, 0.9, 1.1, 100, quantile=0.6)
    with pytest.raises(ValueError, match="quantiles must be equal"):
        compare_quantiles(a, b)
    with pytest.raises(ValueError, match="clusters"):
        quantile_summary([1.0, 2.0], quantile=0.5, clusters=[1])
    assert fewest_observations(0.5) == pytest.approx(1.959963984540054**2)


def test_bootstrap__mean__near_welch() -> None:
    rng = np.random.default_rng(4)
    control, treatment = rng.gamma(2, 1, 400), rng.gamma(2, 1.1, 500)
    cells = aggregate({"y": np.concatenate([control, treatment])}, groups=np.repeat([0, 1], [400, 500]))
    welch = compare_means(cells[0], cells[1]).at()
    assert welch.effect_ci is not None
    assert welch.lift_ci is not None
    width = welch.effect_ci.upper - welch.effect_ci.lower
    for interval in BootstrapInterval:
        found = [
            bootstrap(control, treatment, lambda a: a.mean(axis=-1), rng=rng, resamples=4000, interval=interval),
            poisson_bootstrap(control, treatment, rng=rng, resamples=4000, interval=interval),
        ]
        for result in found:
            assert result.effect == pytest.approx(welch.effect)
            assert result.lift == pytest.approx(welch.lift)
            assert float(result.effect_ci.lower) == pytest.approx(welch.effect_ci.lower, abs=0.06 * width)
            assert float(result.effect_ci.upper) == pytest.approx(welch.effect_ci.upper, abs=0.06 * width)
            assert float(result.lift_ci.lower) == pytest.approx(welch.lift_ci.lower, abs=0.02)


def test_poisson_bootstrap__ratio__near_the_delta_method() -> None:
    rng = np.random.default_rng(5)
    d = rng.poisson(4, 800) + 1.0
    m = d * rng.beta(2, 3, 800)
    cells = aggregate({"m": m, "d": d}, groups=np.repeat([0, 1], 400))
    delta = compare_ratios(cells[0], cells[1]).at()
    assert delta.effect_ci is not None
    found = poisson_bootstrap(
        m[:400], m[400:], control_denominator=d[:400], treatment_denominator=d[400:], rng=rng, resamples=4000
    )
    width = delta.effect_ci.upper - delta.effect_ci.lower
    assert found.effect == pytest.approx(delta.effect)
    assert float(found.effect_ci.upper) == pytest.approx(delta.effect_ci.upper, abs=0.06 * width)


def test_bootstrap__same_seed__same_interval() -> None:
    def run() -> float:
        rng = np.random.default_rng(6)
        return float(poisson_bootstrap([1, 2, 3], [2, 3, 4], rng=rng, resamples=300).effect_ci.lower)

    assert run() == run()


def test_bootstrap__undefined__nan_or_value_error() -> None:
    rng = np.random.default_rng(7)
    result = bootstrap([-1.0, -2.0], [1.0, 2.0], lambda a: a.mean(axis=-1), rng=rng, resamples=100)
    assert np.isnan(result.lift)
    assert result.lift_ci.at() is None
    with pytest.raises(ValueError, match="at least one unit"):
        bootstrap([], [1.0], lambda a: a.mean(axis=-1), rng=rng)
    with pytest.raises(ValueError, match="denominator per unit"):
        poisson_bootstrap([1.0], [1.0], control_denominator=[1.0, 2.0], rng=rng)


@pytest.mark.parametrize("alternative", list(Alternative))
def test_mann_whitney__small_samples__exact_by_enumeration(alternative: Alternative) -> None:
    control, treatment = [1.1, 2.3, 4.2, 0.4], [3.1, 5.0, 2.9]
    pairs = [float(t > c) for c in control for t in treatment]
    found = mann_whitney(control, treatment, alternative=alternative, exact=True)
    assert found.treatment_exceeds == pytest.approx(sum(pairs) / 12)
    values = np.array(control + treatment)
    drawn = []
    for chosen in itertools.combinations(range(7), 3):
        rest = np.delete(values, chosen)
        drawn.append(float((values[list(chosen)][:, None] > rest[None, :]).sum()))
    greater = float(np.mean(np.array(drawn) >= found.statistic))
    less = float(np.mean(np.array(drawn) <= found.statistic))
    expected = {Alternative.GREATER: greater, Alternative.LESS: less}.get(alternative, min(1.0, 2 * min(greater, less)))
    assert found.p_value == pytest.approx(expected, rel=1e-9)


def test_percentile_cap__many_zeros__ignored_on_demand() -> None:
    values = np.concatenate([np.zeros(990), np.arange(1.0, 11.0)])
    assert percentile_cap(values, upper=98).upper == 0.0
    assert percentile_cap(values, upper=90, ignore_zeros=True).upper == pytest.approx(9.1)
    assert percentile_cap(values, lower=10).lower == 0.0
    with pytest.raises(ValueError, match="at least one value"):
        percentile_cap([0.0], upper=99, ignore_zeros=True)
    with pytest.raises(ValueError, match="percentiles must be in"):
        percentile_cap([1.0], upper=101)
    with pytest.raises(ValueError, match="lower must not exceed"):
        Cap(2.0, 1.0)


def test_compare_capped__one_whale__capped_beside_uncapped() -> None:
    rng = np.random.default_rng(8)
    control, treatment = rng.gamma(1, 10, 500), rng.gamma(1, 13, 500)
    control[0] = 50_000.0
    result = compare_capped(control, treatment, percentile_cap(np.concatenate([control, treatment]), upper=99))
    assert float(result.uncapped.effect) < 0
    assert float(result.capped.effect) > 0
    assert float(result.capped.standard_error) < float(result.uncapped.standard_error) / 20
    assert 0 < result.moved[0] < 0.03
    assert compare_capped([], [1.0, 2.0], Cap()).moved == (0.0, 0.0)


@settings(max_examples=50, deadline=None)
@given(
    values=st.lists(st.floats(-100, 100), min_size=1, max_size=30),
    bounds=st.tuples(st.floats(-50, 0), st.floats(0, 50)),
)
def test_cap__any_values__idempotent_and_inside(values: list[float], bounds: tuple[float, float]) -> None:
    cap = Cap(*bounds)
    once = cap.apply(values)
    assert cap.apply(once).tolist() == once.tolist()
    assert bounds[0] <= once.min()
    assert once.max() <= bounds[1]


def test_retention__window_and_maturity__by_hand() -> None:
    first = np.array([0, 0, 3, 8]) * DAY
    unit = [0, 1, 1, 2, 3]
    at = [7 * DAY, 8 * DAY - 1, 20 * DAY, 9 * DAY, 15 * DAY]
    result = retention(first, unit, at, day=7, as_of=11 * DAY)
    assert result.mature.tolist() == [True, True, True, False]
    assert result.retained.tolist() == [True, True, False, False]
    week = retention(first, unit, at, day=7, days=2, as_of=12 * DAY)
    assert week.retained.tolist() == [True, True, False, False]
    rolling = retention(first, unit, at, day=7, as_of=30 * DAY, rolling=True)
    assert rolling.retained.tolist() == [True, True, False, True]
    assert retention(first, [], [], day=1, as_of=2 * DAY).retained.tolist() == [False] * 4


def test_compare_retention__arms__against_control() -> None:
    rng = np.random.default_rng(9)
    first = np.zeros(3000, dtype=np.int64)
    arms = np.repeat([0, 1, 2], 1000)
    back = rng.random(3000) < np.array([0.2, 0.3, 0.004])[arms]
    unit = np.flatnonzero(back)
    counts = count_retained(retention(first, unit, np.full(unit.size, DAY), day=1, as_of=5 * DAY), arms, 3)
    result = compare_retention(counts)
    assert result.exact.tolist() == [False, True]
    assert float(result.comparison.p_value[0]) < 0.001
    assert result.comparison.effect[1] < 0
    assert counts.mature.tolist() == [1000.0] * 3


def test_retention__wrong_use__value_error() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        retention([0], [], [], day=0, as_of=1)
    with pytest.raises(ValueError, match="each event needs a unit"):
        retention([0], [1], [0], day=1, as_of=1)
    with pytest.raises(ValueError, match="each event needs a unit"):
        retention([0], [0, 0], [0], day=1, as_of=1)
