from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from experiments.stats.guardrail import (
    absolute_margin,
    ceiling_test,
    non_inferiority,
    sequential_ceiling_test,
    sequential_non_inferiority,
)
from experiments.stats.results import IntervalKind, Reason


@given(effect=st.floats(-3, 3), margin=st.floats(0, 2), good=st.booleans(), df=st.sampled_from([4.0, 50.0, math.inf]))
def test_non_inferiority__p_value_and_interval__agree(effect: float, margin: float, good: bool, df: float) -> None:
    told = non_inferiority(effect, 0.5, margin=margin, increase_is_good=good, df=df)
    excludes = float(told.interval.lower) > -margin if good else float(told.interval.upper) < margin
    assert bool(told.held) == excludes or abs(float(told.p_value) - 0.05) < 1e-9


def test_non_inferiority__zero_margin_and_t__is_the_one_sided_t_test() -> None:
    told = non_inferiority(1.2, 0.5, margin=0.0, df=9)
    assert float(told.p_value) == pytest.approx(stats.t.sf(2.4, 9))
    assert math.isinf(float(told.interval.upper))


def test_non_inferiority__decrease_is_good__mirrors() -> None:
    up = non_inferiority(0.3, 0.2, margin=0.1)
    down = non_inferiority(-0.3, 0.2, margin=0.1, increase_is_good=False)
    assert float(up.p_value) == float(down.p_value)
    assert float(down.interval.upper) == pytest.approx(-float(up.interval.lower))
    assert float(down.interval.lower) == -math.inf


def test_non_inferiority__by_simulation__passes_at_the_margin_in_alpha() -> None:
    rng = np.random.default_rng(20261124)
    told = non_inferiority(rng.normal(-0.1, 0.05, 40_000), 0.05, margin=0.1)
    assert told.held.mean() == pytest.approx(0.05, abs=0.0035)


def test_non_inferiority__negative_margin__is_refused() -> None:
    with pytest.raises(ValueError, match="margin"):
        non_inferiority(1.0, 1.0, margin=-0.1)
    with pytest.raises(ValueError, match="margin"):
        sequential_non_inferiority(1.0, 1.0, 10, 10, margin=-0.1, planned_units=20)


def test_non_inferiority__no_variance_or_not_finite__is_undefined_and_not_held() -> None:
    told = non_inferiority([0.0, 0.0, np.nan], [0.0, 0.1, 0.1], margin=0.5)
    assert told.held.tolist() == [False, True, False]
    assert told.reasons.tolist() == [Reason.NO_VARIANCE, Reason.NONE, Reason.NOT_FINITE]
    assert np.isnan(told.p_value).tolist() == [True, False, True]
    assert told.interval.at(0) is None


def test_absolute_margin__negative_mean__stays_positive() -> None:
    assert float(absolute_margin(0.1, -20.0)) == pytest.approx(2.0)


def test_sequential_non_inferiority__looks_at_the_margin__rarely_pass() -> None:
    rng = np.random.default_rng(20261124)
    looks = np.arange(1, 41)[:, None] * 100.0
    mean = (rng.standard_normal((40, 4_000)) * 10).cumsum(axis=0) / looks - 0.2
    told = sequential_non_inferiority(
        -mean, 1 / np.sqrt(looks), looks / 2, looks / 2, margin=0.2, planned_units=4_000, increase_is_good=False
    )
    held = (told.p_value < 0.05).any(axis=0).mean()
    # Harm of exactly the margin: −mean is +0.2 of a metric where increase is bad.
    assert held <= 0.05


def test_ceiling_test__against_scipy__agrees() -> None:
    events, units, ceiling = np.array([0, 3, 12, 40]), 2_000, 0.005
    told = ceiling_test(events, units, ceiling=ceiling)
    assert told.p_harmed.tolist() == pytest.approx(stats.binom.sf(events - 1, units, ceiling).tolist(), rel=1e-9)
    assert told.p_safe.tolist() == pytest.approx(stats.binom.cdf(events, units, ceiling).tolist(), rel=1e-9)
    for index, count in enumerate(events):
        peer = stats.binomtest(int(count), units).proportion_ci(confidence_level=0.9, method="exact")
        assert told.interval.lower[index] == pytest.approx(peer.low, abs=1e-12)
        assert told.interval.upper[index] == pytest.approx(peer.high, rel=1e-9)


def test_ceiling_test__nobody_yet__is_undefined_with_a_reason() -> None:
    told = ceiling_test([0, 3], [0, 100], ceiling=0.01)
    assert np.isnan(told.p_safe).tolist() == [True, False]
    assert told.reasons.tolist() == [Reason.TOO_FEW_UNITS, Reason.NONE]


def test_ceiling_test__every_unit_has_the_event__is_harmed() -> None:
    told = ceiling_test(20, 20, ceiling=0.5)
    assert float(told.interval.upper) == 1.0
    assert float(told.p_safe) == 1.0
    assert float(told.p_harmed) == pytest.approx(0.5**20)


@given(events=st.integers(0, 60), ceiling=st.floats(0.001, 0.5))
def test_sequential_ceiling_test__p_value_and_interval__agree(events: int, ceiling: float) -> None:
    told = sequential_ceiling_test(events, 200, ceiling=ceiling)
    outside = not bool(told.interval.contains(ceiling))
    smaller = float(min(told.p_harmed, told.p_safe))
    assert (smaller < 0.05) == outside or abs(smaller - 0.05) < 1e-6
    assert told.interval.kind is IntervalKind.ALWAYS_VALID


def test_sequential_ceiling_test__nobody_yet__knows_nothing() -> None:
    told = sequential_ceiling_test(0, 0, ceiling=0.01)
    assert np.isnan([told.rate, told.p_harmed, told.p_safe]).all()
    assert int(told.reasons) == Reason.TOO_FEW_UNITS
    assert [float(told.interval.lower), float(told.interval.upper)] == pytest.approx([0.0, 1.0], abs=1e-12)


def test_sequential_ceiling_test__looks_at_the_ceiling__rarely_alarm() -> None:
    rng = np.random.default_rng(20261124)
    units = np.arange(1, 61)[:, None] * 50
    events = rng.binomial(50, 0.02, (60, 4_000)).cumsum(axis=0)
    told = sequential_ceiling_test(events, units, ceiling=0.02)
    alarms = (told.p_harmed < 0.05).any(axis=0).mean()
    assert 0 < alarms <= 0.05


@pytest.mark.parametrize(("events", "units", "ceiling"), [(5, 4, 0.1), (-1, 4, 0.1), (1, 4, 0.0), (1, 4, 1.0)])
def test_ceiling_test__impossible__is_refused(events: int, units: int, ceiling: float) -> None:
    with pytest.raises(ValueError, match=r"events|ceiling"):
        ceiling_test(events, units, ceiling=ceiling)
