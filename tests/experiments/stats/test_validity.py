from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from experiments.stats.validity import (
    Trend,
    fleet_diagnostics,
    multiple_exposure,
    novelty_test,
    srm_diagnostics,
    twyman_flag,
)

PAST = [0.01, -0.02, 0.03, 0.0, 0.02, -0.01, 0.015, 0.005, -0.005, 0.01]


def test_srm_diagnostics__healthy_slices__rarely_flag_any() -> None:
    rng = np.random.default_rng(20261124)
    flagged = 0
    for _ in range(200):
        arm = rng.binomial(400, 0.5, size=(20, 28))
        flagged += bool(srm_diagnostics(np.stack([arm, 400 - arm], axis=-1).reshape(-1, 2), [1, 1]).flagged.any())
    assert flagged / 200 <= 0.05 + 3 * (0.05 * 0.95 / 200) ** 0.5


def test_srm_diagnostics__broken_slice_and_empty_slice__are_told_apart() -> None:
    told = srm_diagnostics([[500, 510], [0, 0], [700, 300]], [1, 1])
    assert told.flagged.tolist() == [False, False, True]
    assert np.isnan(told.p_values[1])
    assert told.family is not None
    assert told.family.p_values.size == 2


def test_fleet_diagnostics__nothing_known__flags_nothing() -> None:
    told = fleet_diagnostics([np.nan, np.nan])
    assert told.family is None
    assert not told.flagged.any()


def test_multiple_exposure__against_scipy__agrees() -> None:
    told = multiple_exposure([1_000, 3_000, 2_000], [12, 20, 31])
    table = np.array([[12, 20, 31], [988, 2_980, 1_969]])
    assert told.p_value == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue, rel=1e-10)
    assert told.rates.tolist() == pytest.approx([0.012, 20 / 3_000, 31 / 2_000])
    assert told.is_frequent


def test_multiple_exposure__none__has_no_test() -> None:
    told = multiple_exposure([100, 0], [0, 0])
    assert (told.rate, told.p_value, told.is_frequent) == (0.0, None, False)


def test_multiple_exposure__every_unit_twice__cannot_be_uneven() -> None:
    told = multiple_exposure([10, 10], [10, 10])
    assert (told.rate, told.p_value) == (1.0, 1.0)


@pytest.mark.parametrize(("exposed", "multiple"), [([1, 2], [1]), ([1, 2], [2, 0]), ([1, 2], [-1, 0]), ([[1]], [[0]])])
def test_multiple_exposure__impossible__is_refused(exposed: object, multiple: object) -> None:
    with pytest.raises(ValueError, match="exposed"):
        multiple_exposure(exposed, multiple)  # type: ignore[arg-type]  # wrong on purpose


def test_novelty_test__independent_days__is_weighted_least_squares() -> None:
    effects, errors, days = [0.1, 0.07, 0.05, 0.06], [0.02, 0.01, 0.02, 0.03], [1, 2, 4, 7]
    told = novelty_test(effects, errors, days)
    weight = 1 / np.array(errors) ** 2
    centred = np.array(days) - (weight * days).sum() / weight.sum()
    assert told.slope == pytest.approx((weight * centred * effects).sum() / (weight * centred**2).sum())
    assert told.standard_error == pytest.approx((weight * centred**2).sum() ** -0.5)
    assert told.p_value == pytest.approx(2 * stats.norm.sf(abs(told.slope) / told.standard_error))


@pytest.mark.parametrize(
    ("effects", "trend"),
    [
        ([0.09, 0.06, 0.03, 0.0], Trend.FADING),
        ([0.0, 0.03, 0.06, 0.09], Trend.GROWING),
        ([-0.09, -0.06, -0.03, 0.0], Trend.FADING),
        ([0.05, 0.05, 0.05, 0.05], Trend.STEADY),
    ],
)
def test_novelty_test__direction__is_named(effects: list[float], trend: Trend) -> None:
    assert novelty_test(effects, [0.005] * 4, [0, 1, 2, 3]).trend is trend


def test_novelty_test__correlated_days__false_alarms_stay_at_alpha() -> None:
    rng = np.random.default_rng(20261124)
    sigma = 0.01 * (0.7 * np.ones((6, 6)) + 0.3 * np.eye(6))
    draws = rng.multivariate_normal(np.full(6, 0.1), sigma, size=2_000)
    alarms = [novelty_test(d, np.sqrt(np.diag(sigma)), range(6), covariance=sigma).trend for d in draws]
    share = np.mean([trend is not Trend.STEADY for trend in alarms])
    assert share == pytest.approx(0.05, abs=3 * (0.05 * 0.95 / 2_000) ** 0.5)


@pytest.mark.parametrize(
    ("effects", "errors", "days", "covariance"),
    [
        ([0.1, 0.2], [0.1, 0.1], [0, 1], None),
        ([0.1, 0.2, 0.3], [0.1, 0.1, 0.1], [1, 1, 1], None),
        ([0.1, 0.2, 0.3], [0.1, 0.0, 0.1], [1, 2, 3], None),
        ([0.1, 0.2, 0.3], [0.1, 0.1, 0.1], [1, 2, 3], [[1.0]]),
        ([0.1, 0.2, 0.3], [0.1, np.nan, 0.1], [1, 2, 3], None),
    ],
)
def test_novelty_test__impossible__is_refused(
    effects: list[float], errors: list[float], days: list[int], covariance: list[list[float]] | None
) -> None:
    with pytest.raises(ValueError, match=r"days|standard errors"):
        novelty_test(effects, errors, days, covariance=covariance)


def test_twyman_flag__few_past_lifts__says_nothing() -> None:
    told = twyman_flag(5.0, [*PAST[:5], np.nan])
    assert (told.deviations, told.is_flagged, told.past) == (None, False, 5)


def test_twyman_flag__usual_and_unusual__differ() -> None:
    assert not twyman_flag(0.05, PAST).is_flagged
    told = twyman_flag(-0.4, PAST)
    assert told.is_flagged
    assert told.deviations is not None
    assert told.deviations > 5


def test_twyman_flag__past_lifts_all_equal__any_other_is_unusual() -> None:
    assert twyman_flag(0.1, [0.0] * 12).is_flagged
    assert not twyman_flag(0.0, [0.0] * 12).is_flagged
