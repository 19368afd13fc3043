from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from experiments.stats.results import Reason
from experiments.stats.srm import (
    SrmVerdict,
    exact_srm_p_value,
    sequential_srm,
    sequential_srm_over_phases,
    srm_test,
    srm_test_over_phases,
)


def test_srm_test__against_scipy__agrees() -> None:
    counts = np.array([[480, 520, 100], [1000, 900, 210]])
    result = srm_test(counts, [5, 5, 1])
    for row in range(2):
        expected = counts[row].sum() * np.array([5, 5, 1]) / 11
        peer = stats.chisquare(counts[row], expected)
        assert result.statistic[row] == pytest.approx(peer.statistic, rel=1e-12)
        assert result.p_value[row] == pytest.approx(peer.pvalue, rel=1e-12)


def test_srm_test__tiny_p_value__keeps_its_digits() -> None:
    p_value = float(srm_test([100_000, 90_000], [1, 1]).p_value)
    assert p_value == pytest.approx(stats.chi2.sf(10_000**2 / 190_000, 1), rel=1e-9)
    assert 0 < p_value < 1e-100


@pytest.mark.parametrize("z", [5.0, 12.0, 25.0, 36.9])
def test_srm_test__far_tail__is_the_two_sided_normal(z: float) -> None:
    n = 10**8
    half = z * n**0.5 / 2
    p_value = float(srm_test([n / 2 + half, n / 2 - half], [1, 1]).p_value)
    assert p_value == pytest.approx(2 * special.ndtr(-z), rel=1e-6, abs=0)


@given(
    counts=st.lists(st.integers(1, 10**6), min_size=2, max_size=5),
    factor=st.floats(0.01, 100),
)
def test_srm_test__weights_scaled__changes_nothing(counts: list[int], factor: float) -> None:
    weights = np.arange(1.0, len(counts) + 1)
    plain = srm_test(counts, weights).at()
    scaled = srm_test(counts, weights * factor).at()
    assert plain.p_value == pytest.approx(scaled.p_value, rel=1e-6, abs=1e-300)


def test_srm_test__leak_into_empty_arm__is_not_hidden_in_the_statistic() -> None:
    leaking = srm_test([1_000, 1_050, 3], [0.5, 0.5, 0.0])
    clean = srm_test([1_000, 1_050], [0.5, 0.5])
    assert leaking.p_value == pytest.approx(float(clean.p_value), rel=1e-14)
    assert leaking.at().leaked == 3
    assert leaking.at().df == 1
    assert leaking.at().verdict is SrmVerdict.BLOCKED  # 0.15 % of all units


def test_srm_test__small_leak__warns() -> None:
    assert srm_test([100_000, 100_000, 1], [1, 1, 0]).at().verdict is SrmVerdict.WARNING


def test_srm_test__significant_but_small__warns_and_does_not_block() -> None:
    result = srm_test([50_040_000, 49_960_000], [1, 1]).at()
    assert result.p_value is not None
    assert result.p_value < 1e-10
    assert result.verdict is SrmVerdict.WARNING


def test_srm_test__no_units__is_undefined_with_a_reason() -> None:
    result = srm_test([0, 0], [1, 1]).at()
    assert result.p_value is None
    assert result.largest_deviation is None
    assert result.reason is Reason.TOO_FEW_UNITS
    assert result.verdict is SrmVerdict.UNDEFINED


def test_srm_test__one_arm_planned__has_nothing_to_compare() -> None:
    result = srm_test([100, 0], [1, 0]).at()
    assert (result.p_value, result.df, result.verdict) == (1.0, 0.0, SrmVerdict.HEALTHY)


@pytest.mark.parametrize(
    ("counts", "weights", "message"),
    [
        ([1], [1], "two arms"),
        (5, [1, 1], "two arms"),
        ([-1, 2], [1, 1], "counts must be"),
        ([1, 2], [0, 0], "weights must be"),
        ([1, 2], [-1, 2], "weights must be"),
    ],
)
def test_srm_test__impossible_input__is_refused(counts: object, weights: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        srm_test(counts, weights)  # type: ignore[arg-type]  # wrong on purpose


def test_srm_test_over_phases__weights_changed__does_not_alarm() -> None:
    counts = [[5_000, 5_000], [9_000, 1_000]]
    assert srm_test_over_phases(counts, [[1, 1], [9, 1]]).at().p_value == 1.0
    assert srm_test(np.sum(counts, axis=0), [1, 1]).at().verdict is SrmVerdict.BLOCKED


def test_srm_test_over_phases__one_phase_broken__is_found() -> None:
    result = srm_test_over_phases([[5_000, 5_000], [9_000, 1_200]], [[1, 1], [9, 1]])
    single = srm_test([9_000, 1_200], [9, 1])
    assert result.statistic == pytest.approx(float(single.statistic))
    assert result.p_value == pytest.approx(float(stats.chi2.sf(float(single.statistic), 2)))
    assert result.at().verdict is SrmVerdict.BLOCKED


def test_srm_test_over_phases__arm_opened_later__is_not_a_leak() -> None:
    result = srm_test_over_phases([[500, 500, 0], [500, 500, 500]], [[1, 1, 0], [1, 1, 1]]).at()
    assert (result.leaked, result.p_value) == (0, 1.0)


def test_srm_test_over_phases__nobody_yet__is_undefined() -> None:
    result = srm_test_over_phases(np.zeros((3, 2, 2)), [[1, 1], [9, 1]])
    assert result.p_value.shape == (3,)
    assert result.at(1).reason is Reason.TOO_FEW_UNITS


@pytest.mark.parametrize(("count", "total", "share"), [(480, 1_000, 0.5), (3, 50, 0.2), (0, 10, 0.9)])
def test_exact_srm_p_value__against_enumeration__agrees(count: int, total: int, share: float) -> None:
    law = stats.binom.pmf(np.arange(total + 1), total, share)
    assert exact_srm_p_value(count, total, share) == pytest.approx(law[law <= law[count] * (1 + 1e-7)].sum(), rel=1e-9)


def test_sequential_srm__no_units__is_undefined_with_a_reason() -> None:
    result = sequential_srm([0, 0], [1, 1]).at()
    assert (result.p_value, result.statistic) == (None, None)
    assert (result.reason, result.verdict) == (Reason.TOO_FEW_UNITS, SrmVerdict.UNDEFINED)


def test_sequential_srm__by_hand__is_the_dirichlet_multinomial_ratio() -> None:
    # Beta(1, 1) prior (concentration 2): P(2 of 3 in arm A) under it is 1/4 against 3/8.
    assert sequential_srm([2, 1], [1, 1], concentration=2.0).statistic == pytest.approx(np.log((1 / 4) / (3 / 8)))


def test_sequential_srm__concentration_zero__is_refused() -> None:
    with pytest.raises(ValueError, match="concentration"):
        sequential_srm([1, 1], [1, 1], concentration=0)


def test_sequential_srm_over_phases__factors__multiply() -> None:
    counts = np.array([[1_000, 1_100], [900, 130]])
    weights = np.array([[0.5, 0.5], [0.9, 0.1]])
    both = sequential_srm_over_phases(counts, weights)
    assert both.statistic == pytest.approx(sequential_srm(counts, weights).statistic.sum(), rel=1e-12)


def test_sequential_srm__healthy_experiments__rarely_alarm() -> None:
    rng = np.random.default_rng(20261124)
    steps = rng.binomial(500, 0.5, size=(4_000, 40)).cumsum(axis=1)
    totals = 500 * np.arange(1, 41)
    result = sequential_srm(np.stack([steps, totals - steps], axis=-1), [1, 1])
    alarms = (result.p_value.min(axis=1) < 0.05).mean()
    assert 0 < alarms < 0.05


@given(counts=st.lists(st.integers(0, 10**6), min_size=2, max_size=4).filter(any))
def test_sequential_srm__any_counts__gives_a_probability(counts: list[int]) -> None:
    p_value = float(sequential_srm(counts, np.ones(len(counts))).p_value)
    assert 0 <= p_value <= 1
