from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.stats.results import Alternative, Interval, IntervalKind, Reason
from experiments.stats.sequential import (
    Scale,
    accumulate_looks,
    accumulate_p_values,
    confidence_sequence,
    mixture_rho,
    msprt,
    width_ratio,
)

EFFECTS = st.floats(-8, 8)
UNITS = st.integers(1, 10**7)


@given(z=EFFECTS, n=UNITS, planned=UNITS, alpha=st.floats(0.001, 0.4), alternative=st.sampled_from(Alternative))
def test_confidence_sequence__p_value_and_interval__agree(
    z: float, n: int, planned: int, alpha: float, alternative: Alternative
) -> None:
    look = confidence_sequence(z, 1.0, n, n, planned_units=planned, alpha=alpha, alternative=alternative)
    excludes = not bool(look.interval.contains(0.0))
    p_value = float(look.p_value)
    assert abs(p_value - alpha) < 1e-9 or (p_value < alpha) == excludes


@given(z=EFFECTS, alpha=st.floats(0.001, 0.4), prior=st.floats(1e-4, 1e4))
def test_msprt__p_value_and_interval__agree(z: float, alpha: float, prior: float) -> None:
    look = msprt(z, 1.0, prior_variance=prior, alpha=alpha)
    p_value = float(look.p_value)
    assert abs(p_value - alpha) < 1e-9 or (p_value < alpha) == (not bool(look.interval.contains(0.0)))


@given(scale=st.floats(1e-6, 1e6), z=EFFECTS, n=UNITS)
def test_confidence_sequence__unit_of_money_changed__scales_the_interval(scale: float, z: float, n: int) -> None:
    plain = confidence_sequence(z, 1.0, n, n, planned_units=10_000)
    other = confidence_sequence(z * scale, scale, n, n, planned_units=10_000)
    assert float(other.interval.lower) == pytest.approx(float(plain.interval.lower) * scale, rel=1e-9, abs=1e-9 * scale)
    assert float(other.p_value) == pytest.approx(float(plain.p_value), rel=1e-6)


def test_confidence_sequence__huge_z__keeps_its_digits() -> None:
    look = confidence_sequence(38.0, 1.0, 5_000, 5_000, planned_units=10_000)
    time = 10_000 * float(mixture_rho(0.05, 10_000)) ** 2
    log_e = time * 38.0**2 / (2 * (time + 1)) - math.log(time + 1) / 2
    assert float(look.p_value) == pytest.approx(math.exp(-log_e), rel=1e-9)
    assert 0 < float(look.p_value) < 1e-200


def test_confidence_sequence__log_ratio_scale__gives_a_lift_interval() -> None:
    change, error = math.log(1.08), 0.02
    lift = confidence_sequence(change, error, 9_000, 1_000, planned_units=10_000, scale=Scale.LOG_RATIO)
    plain = confidence_sequence(change, error, 9_000, 1_000, planned_units=10_000)
    assert float(lift.interval.lower) == pytest.approx(math.expm1(float(plain.interval.lower)))
    assert float(lift.interval.upper) == pytest.approx(math.expm1(float(plain.interval.upper)))
    assert float(lift.p_value) == float(plain.p_value)
    assert lift.interval.kind is IntervalKind.ALWAYS_VALID


def test_confidence_sequence__one_sided__is_open_on_the_other_side() -> None:
    greater = confidence_sequence(2.0, 1.0, 50, 50, planned_units=100, alternative=Alternative.GREATER)
    less = confidence_sequence(-2.0, 1.0, 50, 50, planned_units=100, alternative=Alternative.LESS)
    assert float(greater.interval.upper) == math.inf
    assert float(less.interval.lower) == -math.inf
    assert float(less.interval.upper) == pytest.approx(-float(greater.interval.lower))
    assert float(less.p_value) == float(greater.p_value)
    two_sided = confidence_sequence(2.0, 1.0, 50, 50, planned_units=100)
    assert float(two_sided.interval.lower) < float(greater.interval.lower)


def test_confidence_sequence__one_sided_with_effect_the_other_way__has_p_one() -> None:
    look = confidence_sequence([-3.0, 0.0], 1.0, 50, 50, planned_units=100, alternative=Alternative.GREATER)
    assert look.p_value.tolist() == [1.0, 1.0]


def test_confidence_sequence__undefined_looks__say_why() -> None:
    look = confidence_sequence(
        [0.1, 0.1, 0.1, 0.1, math.nan],
        [0.0, 1.0, 1.0, 1.0, 1.0],
        [10, 0, 10, 10, 10],
        10,
        planned_units=100,
        refused=[False, False, True, False, False],
    )
    assert [Reason(int(code)) for code in look.reasons] == [
        Reason.NO_VARIANCE,
        Reason.TOO_FEW_UNITS,
        Reason.TOO_FEW_EVENTS,
        Reason.NONE,
        Reason.NOT_FINITE,
    ]
    assert np.isnan(look.p_value).tolist() == [True, True, True, False, True]
    assert look.interval.at(2) is None
    assert look.interval.at(3) is not None


@pytest.mark.parametrize(("alpha", "planned"), [(0.0, 100), (1.0, 100), (0.05, 0), (0.05, -3)])
def test_mixture_rho__impossible_settings__are_refused(alpha: float, planned: float) -> None:
    with pytest.raises(ValueError, match=r"alpha|planned_units"):
        mixture_rho(alpha, planned)


@pytest.mark.parametrize("alpha", [0.5, 0.6])
def test_confidence_sequence__one_sided_with_half_the_alpha_or_more__is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match=f"got {alpha}"):
        confidence_sequence(1.0, 1.0, 5, 5, planned_units=10, alpha=alpha, alternative=Alternative.LESS)


@pytest.mark.parametrize(("prior_variance", "alpha"), [(0.0, 0.05), (1.0, 1.0)])
def test_msprt__impossible_settings__are_refused(prior_variance: float, alpha: float) -> None:
    with pytest.raises(ValueError, match=r"alpha|prior_variance"):
        msprt(1.0, 1.0, prior_variance=prior_variance, alpha=alpha)


def test_width_ratio__at_the_planned_size__is_the_minimum() -> None:
    ratios = width_ratio(np.array([1_000, 5_000, 25_000]), planned_units=5_000)
    assert ratios[1] == min(ratios)


def test_width_ratio__one_sided__is_the_radius_over_its_quantile() -> None:
    look = confidence_sequence(1.0, 1.0, 400, 400, planned_units=1_000, alternative=Alternative.GREATER)
    ratio = width_ratio(800, planned_units=1_000, alternative=Alternative.GREATER)
    assert float(ratio) == pytest.approx((1 - float(look.interval.lower)) / 1.6448536269514722)


def test_accumulate_p_values__undefined_looks__change_nothing() -> None:
    paths = np.array([[np.nan, 0.3], [0.2, np.nan], [0.5, 0.1]])
    assert accumulate_p_values(paths).tolist() == [[1.0, 0.3], [0.2, 0.3], [0.2, 0.1]]


def test_accumulate_looks__empty_intersection__drifts_for_good() -> None:
    interval = Interval(np.array([0.1, 0.5, 0.1]), np.array([0.3, 0.7, 0.6]), 0.95)
    told = accumulate_looks(interval, [0.04, 0.03, 0.2])
    assert told.drifting.tolist() == [False, True, True]
    assert told.interval.at(0) is not None
    assert told.interval.at(2) is None
    assert told.p_value.tolist() == [0.04, 0.03, 0.03]


def test_accumulate_looks__nothing_valid_yet__is_undefined() -> None:
    told = accumulate_looks(Interval(np.array([np.nan, 0.0]), np.array([np.nan, 1.0]), 0.95), [np.nan, 0.5])
    assert told.interval.at(0) is None
    assert told.looks.tolist() == [0, 1]
    assert not told.drifting.any()


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(0, 5)), min_size=1, max_size=12))
def test_accumulate_looks__any_path__only_narrows(path: list[tuple[float, float]]) -> None:
    centre, radius = np.array(path).T
    told = accumulate_looks(Interval(centre - radius, centre + radius, 0.95), np.full(len(path), 0.5))
    kept = ~told.drifting
    assert np.all(np.diff(told.interval.lower[kept]) >= 0)
    assert np.all(np.diff(told.interval.upper[kept]) <= 0)


def test_confidence_sequence__normal_looks_without_effect__covers_at_all_of_them() -> None:
    rng = np.random.default_rng(20261124)
    looks = np.arange(1, 51)[:, None] * 200
    mean = rng.standard_normal((50, 4_000)).cumsum(axis=0) * math.sqrt(200) / looks
    sequence = confidence_sequence(mean, 1 / np.sqrt(looks), looks / 2, looks / 2, planned_units=10_000)
    missed = 1 - sequence.interval.contains(0.0).all(axis=0).mean()
    assert 0 < missed <= 0.05
