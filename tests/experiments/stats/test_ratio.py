"""Ratios, counts and rates: by hand, by the linearized t-test, by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from experiments.stats.aggregates import aggregate
from experiments.stats.count import compare_counts, compare_rates, dispersion
from experiments.stats.mean import compare_means
from experiments.stats.ratio import compare_ratios, ratio_estimate
from experiments.stats.results import Alternative, Reason
from experiments.stats.roots import bisect


def test_ratio_estimate__by_linearization__same_variance() -> None:
    rng = np.random.default_rng(1)
    d = rng.poisson(4, 300) + 1.0
    m = rng.binomial(d.astype(int), 0.3).astype(float)
    found = ratio_estimate(aggregate({"m": m, "d": d}, shift=[1.0, 5.0]))
    r = m.sum() / d.sum()
    linear = (m - r * d) / d.mean()
    assert float(found.value) == pytest.approx(r, rel=1e-13)
    assert float(found.variance) == pytest.approx(linear.var(ddof=1) / 300, rel=1e-11)


def test_compare_ratios__constant_denominator__same_as_means() -> None:
    rng = np.random.default_rng(2)
    m = rng.normal(5, 1, 200)
    cells = aggregate({"m": m, "d": np.full(200, 2.0)}, groups=np.repeat([0, 1], 100))
    ratio, mean = compare_ratios(cells[0], cells[1]).at(), compare_means(cells[0], cells[1]).at()
    assert ratio.p_value == pytest.approx(mean.p_value, rel=1e-10)
    assert ratio.effect == pytest.approx((mean.effect or 0) / 2, rel=1e-12)


def test_compare_ratios__analysis_per_event_would_be_too_sure() -> None:
    rng = np.random.default_rng(3)
    rejected = {"unit": 0, "event": 0}
    for _ in range(400):
        d = rng.poisson(10, 400) + 1.0
        m = rng.binomial(d.astype(int), rng.beta(1, 3, 400)).astype(float)
        cells = aggregate({"m": m, "d": d}, groups=np.repeat([0, 1], 200))
        rejected["unit"] += float(compare_ratios(cells[0], cells[1]).p_value) < 0.05
        p = [m[a].sum() / d[a].sum() for a in (slice(0, 200), slice(200, None))]
        error = math.sqrt(
            sum(q * (1 - q) / d[a].sum() for q, a in zip(p, (slice(0, 200), slice(200, None)), strict=True))
        )
        rejected["event"] += abs(p[1] - p[0]) / error > 1.96
    assert rejected["unit"] / 400 < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)
    assert rejected["event"] / 400 > 0.15


def test_ratio_estimate__zero_denominator__its_reason() -> None:
    cells = aggregate({"m": [1.0, 2.0], "d": [0.0, 0.0]})
    result = compare_ratios(cells, cells).at()
    assert (result.effect, result.reason, result.lift_reason) == (
        None,
        Reason.ZERO_DENOMINATOR,
        Reason.ZERO_DENOMINATOR,
    )
    one = aggregate({"m": [1.0], "d": [1.0]})
    assert compare_ratios(one, one).at().reason == Reason.TOO_FEW_UNITS


def test_compare_counts__overdispersed__welch_keeps_its_size() -> None:
    rng = np.random.default_rng(4)
    simulations = 800
    y = rng.poisson(rng.gamma(0.5, 2.0, (simulations, 2, 200))).astype(float)
    groups = np.repeat(np.arange(2 * simulations), 200)
    cells = aggregate({"orders": y.ravel()}, groups=groups).reshape((simulations, 2))
    wins = (compare_counts(cells[:, 0], cells[:, 1]).p_value < 0.05).mean()
    events = y.sum(axis=2)
    poisson_wins = (compare_rates(events[:, 0], 200, events[:, 1], 200).p_value < 0.05).mean()
    assert wins < 0.05 + 3 * math.sqrt(0.05 * 0.95 / simulations)
    assert poisson_wins > 0.15  # what `dispersion` warns of
    assert dispersion(cells).mean() > 1.5


def test_dispersion__no_event__undefined() -> None:
    assert np.isnan(dispersion(aggregate({"orders": [0, 0, 0]})))


@settings(max_examples=100, deadline=None)
@given(
    events=st.tuples(st.integers(0, 40), st.integers(0, 40)),
    exposure=st.tuples(st.floats(0.5, 100), st.floats(0.5, 100)),
    alternative=st.sampled_from(list(Alternative)),
)
def test_compare_rates__any_counts__mid_p_of_the_binomial_and_its_interval(
    events: tuple[int, int], exposure: tuple[float, float], alternative: Alternative
) -> None:
    result = compare_rates(events[0], exposure[0], events[1], exposure[1], alternative=alternative)
    total = sum(events)
    if not total:
        assert np.isnan(result.p_value)
        assert int(result.reasons) == Reason.TOO_FEW_EVENTS
        assert result.lift_ci.at() is None
        return
    law = stats.binom(total, exposure[1] / sum(exposure))
    greater = law.sf(events[1]) + 0.5 * law.pmf(events[1])
    less = law.cdf(events[1]) - 0.5 * law.pmf(events[1])
    expected = {
        Alternative.GREATER: greater,
        Alternative.LESS: less,
        Alternative.TWO_SIDED: min(1.0, 2 * min(greater, less)),
    }[alternative]
    assert float(result.p_value) == pytest.approx(expected, rel=1e-8)
    lower, upper = float(result.lift_ci.lower), float(result.lift_ci.upper)
    if abs(expected - 0.05) > 1e-6:
        assert (lower > 0 or upper < 0) == (expected < 0.05)
    assert np.isnan(result.lift) == (events[0] == 0)


def test_compare_rates__impossible__value_error() -> None:
    with pytest.raises(ValueError, match="exposure must be positive"):
        compare_rates(1, 0.0, 1, 1.0)
    with pytest.raises(ValueError, match="events must not be negative"):
        compare_rates(-1, 1.0, 1, 1.0)


def test_bisect__one_sign__approaches_the_nearer_end() -> None:
    found = bisect(lambda x: np.full(x.shape, 1.0), np.array([0.0]), np.array([2.0]))
    assert found[0] == pytest.approx(2.0)
