"""From estimates to comparisons: p-values agree with intervals, tails are exact, undefined has a reason."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from experiments.stats.estimates import (
    Estimate,
    LiftMethod,
    check_alpha,
    compare,
    critical_value,
    estimate,
    significance,
    tail_probability,
    welch_df,
)
from experiments.stats.results import Alternative, Interval, Reason

# two-sided p-values by mpmath with 60 digits: the regularized incomplete beta function at the doubles
STUDENT = [
    (3.3, 36.9, 1.964239108205142e-5),
    (25.7, 30.0, 1.573674400804662e-21),
    (500.5, 36.9, 6.709919735472502e-145),
    (10000.3, 36.9, 1.453473221113366e-279),
    (1000000.1, 36.9, 7.34762343191882e-298),
    (1e9, 16.0, 1.277771978190983e-57),
    (1e9, 37.0, 1.145651685755514e-299),
    (math.inf, 10.0, 1.523970604832105e-23),
    (math.inf, 37.0, 1.145114244504915e-299),
]


@pytest.mark.parametrize(("df", "t", "expected"), STUDENT)
def test_tail_probability__far_out__right_to_ten_digits(df: float, t: float, expected: float) -> None:
    assert float(tail_probability(t, df)) == pytest.approx(expected, rel=1e-10)
    assert float(tail_probability(t, df, Alternative.GREATER)) == pytest.approx(expected / 2, rel=1e-10)


def test_tail_probability__normal_down_to_1e_300__equal_to_the_asymptotic_series() -> None:
    for z in (10.0, 20.0, 30.0, 37.0):
        # Mills' ratio by its continued fraction, an independent way to the same tail
        fraction = z
        for k in range(200, 0, -1):
            fraction = z + k / fraction
        expected = 2 * math.exp(-z * z / 2) / math.sqrt(2 * math.pi) / fraction
        assert float(tail_probability(z)) == pytest.approx(expected, rel=1e-6)
        assert float(tail_probability(-z)) == float(tail_probability(z))
    assert 0 < float(tail_probability(37.0)) < 1e-298


def test_tail_probability__student_with_odd_df__equal_to_the_elementary_form() -> None:
    # df = 1: 1 − (2/π) atan t; df = 3: closed form of Hald
    for t in (0.1, 1.0, 7.0):
        assert float(tail_probability(t, 1.0)) == pytest.approx(2 / math.pi * math.atan(1 / t), rel=1e-12)
        u = t / math.sqrt(3)
        area = 0.5 + (u / (1 + u * u) + math.atan(u)) / math.pi
        assert float(tail_probability(t, 3.0, Alternative.LESS)) == pytest.approx(area, rel=1e-12)
        assert float(tail_probability(t, 3.0, Alternative.GREATER)) == pytest.approx(1 - area, rel=1e-9)


VALUE = st.floats(0.05, 50.0)
ERROR = st.floats(0.01, 3.0)
DF = st.one_of(st.just(math.inf), st.floats(2.0, 1e6))


@settings(max_examples=300, deadline=None)
@given(
    c=VALUE,
    t=VALUE,
    errors=st.tuples(ERROR, ERROR),
    df=st.tuples(DF, DF),
    alpha=st.floats(1e-4, 0.5),
    alternative=st.sampled_from(list(Alternative)),
    method=st.sampled_from(list(LiftMethod)),
    correction=st.sampled_from([0.0, 0.01]),
)
def test_compare__any_numbers__each_p_value_agrees_with_its_interval(
    *,
    c: float,
    t: float,
    errors: tuple[float, float],
    df: tuple[float, float],
    alpha: float,
    alternative: Alternative,
    method: LiftMethod,
    correction: float,
) -> None:
    if method == LiftMethod.FIELLER:
        correction = 0.0
    result = compare(
        estimate(c, errors[0], df[0]),
        estimate(t, errors[1], df[1]),
        alpha=alpha,
        alternative=alternative,
        lift_method=method,
        correction=correction,
    ).at()
    for interval, p_value in ((result.effect_ci, result.p_value), (result.lift_ci, result.lift_p_value)):
        assert p_value is not None
        if interval is None:  # Fieller's unbounded set
            assert result.lift_reason == Reason.UNBOUNDED
            continue
        assume(abs(p_value - alpha) > 1e-9)
        excludes_zero = interval.lower > 0 or interval.upper < 0
        assert excludes_zero == (p_value < alpha)
        assert interval.lower <= interval.upper
        assert interval.level == pytest.approx(1 - alpha)


@settings(max_examples=100, deadline=None)
@given(c=VALUE, t=VALUE, errors=st.tuples(ERROR, ERROR), alpha=st.floats(1e-3, 0.3))
def test_compare__one_sided__half_of_the_two_sided_at_double_size(
    c: float, t: float, errors: tuple[float, float], alpha: float
) -> None:
    pair = estimate(c, errors[0], 30), estimate(t, errors[1], 30)
    two = compare(*pair, alpha=2 * alpha).at()
    up, down = (compare(*pair, alpha=alpha, alternative=a).at() for a in (Alternative.GREATER, Alternative.LESS))
    assert two.effect_ci is not None
    assert up.effect_ci is not None
    assert down.effect_ci is not None
    assert up.effect_ci.lower == pytest.approx(two.effect_ci.lower, rel=1e-12)
    assert up.effect_ci.upper == math.inf
    assert down.effect_ci.upper == pytest.approx(two.effect_ci.upper, rel=1e-12)
    assert down.effect_ci.lower == -math.inf
    assert up.p_value is not None
    assert down.p_value is not None
    assert two.p_value == pytest.approx(2 * min(up.p_value, down.p_value), rel=1e-12)
    assert up.p_value + down.p_value == pytest.approx(1, rel=1e-12)


@settings(max_examples=100, deadline=None)
@given(c=st.floats(5, 50), t=st.floats(5, 50), errors=st.tuples(ERROR, ERROR))
def test_fieller__bounds__are_where_the_absolute_test_of_the_ratio_is_on_the_edge(
    c: float, t: float, errors: tuple[float, float]
) -> None:
    result = compare(estimate(c, errors[0]), estimate(t, errors[1]), lift_method=LiftMethod.FIELLER).at()
    assume(result.lift_ci is not None)
    assert result.lift_ci is not None
    for bound in (result.lift_ci.lower, result.lift_ci.upper):
        ratio = 1 + bound
        statistic = (t - ratio * c) / math.hypot(errors[1], ratio * errors[0])
        assert abs(statistic) == pytest.approx(1.959963984540054, rel=1e-7)
    assert result.lift_p_value == result.p_value


def test_fieller__covariance__counts_in_the_ratio() -> None:
    result = compare(estimate(10, 1), estimate(12, 1), lift_method=LiftMethod.FIELLER, covariance=0.5).at()
    assert result.lift_ci is not None
    for bound in (result.lift_ci.lower, result.lift_ci.upper):
        ratio = 1 + bound
        error = math.sqrt(1 - 2 * ratio * 0.5 + ratio**2)
        assert abs(12 - ratio * 10) / error == pytest.approx(1.959963984540054, rel=1e-9)


def test_compare__by_hand__welch_and_log_ratio() -> None:
    result = compare(estimate(10.0, 0.3, 99), estimate(11.0, 0.4, 99)).at()
    assert result.effect == 1.0
    assert result.standard_error == pytest.approx(0.5)
    assert result.df == pytest.approx(0.25**2 / (0.09**2 / 99 + 0.16**2 / 99))
    assert result.log_ratio_standard_error == pytest.approx(math.hypot(0.03, 0.4 / 11))
    assert result.lift == pytest.approx(0.1)


def test_compare__tiny_lift__keeps_its_digits() -> None:
    origin, zero = np.asarray(1e8), np.asarray(0.0)
    result = compare(
        Estimate(zero, np.asarray(1e-18), np.asarray(np.inf), origin),
        Estimate(np.asarray(1e-9), np.asarray(1e-18), np.asarray(np.inf), origin),
    )
    assert float(result.effect) == 1e-9
    assert float(result.lift) == pytest.approx(1e-17, rel=1e-9)
    assert float(result.log_ratio) == pytest.approx(1e-17, rel=1e-9)


def test_compare__undefined_parts__none_with_their_reasons() -> None:
    few = replace(estimate(1.0, 0.5), reasons=np.asarray(Reason.TOO_FEW_UNITS, dtype=np.int8))
    result = compare(few, estimate(2.0, 0.1)).at()
    assert (result.effect, result.p_value, result.effect_ci, result.reason) == (1.0, None, None, Reason.TOO_FEW_UNITS)
    assert (result.lift_p_value, result.lift_reason) == (None, Reason.TOO_FEW_UNITS)
    mirrored = compare(estimate(2.0, 0.1), few).at()
    assert mirrored.reason == Reason.TOO_FEW_UNITS

    constant = compare(estimate(1.0, 0.0), estimate(2.0, 0.0)).at()
    assert (constant.effect, constant.p_value, constant.reason) == (1.0, None, Reason.NO_VARIANCE)
    assert (constant.lift, constant.lift_p_value, constant.lift_reason) == (1.0, None, Reason.NO_VARIANCE)

    one_constant = compare(estimate(1.0, 0.0, 9), estimate(2.0, 0.1, 9)).at()
    assert one_constant.df == pytest.approx(9)
    assert one_constant.reason is None

    rounding = compare(estimate(0.3, 0.1), estimate(1e-20, 0.1))
    assert (rounding.at().lift, rounding.at().lift_reason) == (None, Reason.NON_POSITIVE_MEAN)
    assert np.isnan(rounding.log_ratio)
    assert np.isnan(replace(rounding, lift=np.asarray(-1.0)).log_ratio)

    negative = compare(estimate(-1.0, 0.1), estimate(2.0, 0.1)).at()
    assert negative.p_value is not None
    assert (negative.lift, negative.lift_ci, negative.lift_reason) == (None, None, Reason.NON_POSITIVE_MEAN)

    broken = compare(estimate(math.inf, 0.1), estimate(2.0, 0.1)).at()
    assert (broken.p_value, broken.reason, broken.lift_reason) == (None, Reason.NOT_FINITE, Reason.NOT_FINITE)

    wide = compare(estimate(0.1, 1.0), estimate(1.0, 1.0), lift_method=LiftMethod.FIELLER).at()
    assert (wide.lift_ci, wide.lift_reason) == (None, Reason.UNBOUNDED)
    assert wide.lift is not None


def test_compare__mixed_normal_and_student__each_element_its_own_quantile() -> None:
    control = Estimate(np.zeros(2) + 5, np.ones(2), np.array([np.inf, 4.0]))
    both = compare(control, replace(control, deviation=np.full(2, 8.0)))
    alone = [compare(estimate(5, 1, df), estimate(8, 1, df)) for df in (np.inf, 4.0)]
    assert both.p_value == pytest.approx([float(a.p_value) for a in alone], rel=1e-14)
    assert both.effect_ci.lower == pytest.approx([float(a.effect_ci.lower) for a in alone], rel=1e-14)
    assert both.shape == (2,)


def test_compare__shapes__broadcast() -> None:
    control = Estimate(np.full((3, 1), 5.0), np.ones((3, 1)), np.full((3, 1), 10.0))
    treatment = Estimate(np.full((1, 4), 6.0), np.ones((1, 4)), np.full((1, 4), 10.0))
    result = compare(control, treatment)
    assert result.shape == (3, 4)
    assert result.at((2, 3)) == result.at((0, 0))


def test_significance__undefined__nan() -> None:
    result = significance(np.array([1.0, np.nan, 1.0]), np.array([0.0, 1.0, 1.0]), np.full(3, np.inf))
    assert np.isnan(result.p_value).tolist() == [True, True, False]
    assert result.interval.at(0) is None


def test_welch_df__no_variance__nan() -> None:
    assert np.isnan(welch_df(estimate(1, 0, 5), estimate(1, 0, 5)))


def test_critical_value__mixed__tables() -> None:
    assert critical_value([np.inf, 10.0], 0.05).tolist() == pytest.approx([1.959963984540054, 2.2281388519649385])
    assert float(critical_value(10.0, 0.05, Alternative.GREATER)) == pytest.approx(1.8124611228107335)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, math.nan])
def test_check_alpha__outside__value_error(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha must be in"):
        check_alpha(alpha)


def test_interval__contains__false_where_undefined() -> None:
    interval = Interval(np.array([0.0, np.nan]), np.array([1.0, np.nan]), 0.95)
    assert interval.contains([1.0, 0.5]).tolist() == [True, False]


def test_reason__labels__are_stable_words() -> None:
    assert [reason.label for reason in Reason][:3] == ["none", "too_few_units", "no_variance"]
