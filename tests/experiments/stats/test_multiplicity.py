from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from experiments.stats.estimates import tail_probability
from experiments.stats.multiplicity import (
    ALWAYS_VALID_METHODS,
    Adjustment,
    adjust,
    adjust_e_values,
    adjusted_interval,
    interval_level,
)
from experiments.stats.results import Alternative, IntervalKind

FAMILY = [0.001, 0.008, 0.039, 0.041]
FAMILIES = st.lists(st.floats(0, 1), min_size=1, max_size=8)


@settings(deadline=None, max_examples=40)
@given(p_values=FAMILIES, method=st.sampled_from(Adjustment))
def test_adjust__any_family__is_never_easier_than_unadjusted(p_values: list[float], method: Adjustment) -> None:
    family = adjust(p_values, method=method)
    if method not in {Adjustment.TWO_STAGE_BH, Adjustment.TWO_STAGE_BKY}:  # these estimate the share of true nulls
        assert np.all(family.p_values >= np.array(p_values) - 1e-12)
    assert np.all(family.p_values <= 1)


STEPWISE = [method for method in Adjustment if not method.startswith("two-stage")]


@settings(deadline=None, max_examples=40)
@given(p_values=FAMILIES, method=st.sampled_from(STEPWISE))
def test_adjust__thresholds__reject_the_same_members(p_values: list[float], method: Adjustment) -> None:
    family = adjust(p_values, method=method)
    by_threshold = np.array(p_values) <= family.thresholds
    near = np.abs(family.p_values - 0.05) < 1e-9
    assert np.all((by_threshold == family.rejected) | near)


def test_adjust__undefined_member__stays_in_the_family() -> None:
    family = adjust([*FAMILY, np.nan], method=Adjustment.BONFERRONI)
    assert family.p_values[0] == pytest.approx(0.005)
    assert np.isnan(family.p_values[-1])
    assert not family.rejected[-1]


def test_adjust__none__leaves_the_values() -> None:
    family = adjust(FAMILY, method=Adjustment.NONE)
    assert family.p_values.tolist() == FAMILY
    assert interval_level(family) == (0.95, IntervalKind.CONFIDENCE)


@pytest.mark.parametrize("method", [m for m in Adjustment if m not in ALWAYS_VALID_METHODS])
def test_adjust__always_valid_with_a_method_that_needs_independence__is_refused(method: Adjustment) -> None:
    with pytest.raises(ValueError, match="always-valid"):
        adjust(FAMILY, method=method, always_valid=True)


@pytest.mark.parametrize("method", ALWAYS_VALID_METHODS)
def test_adjust__always_valid_with_a_robust_method__is_the_same(method: Adjustment) -> None:
    assert adjust(FAMILY, method=method, always_valid=True).p_values.tolist() == pytest.approx(
        adjust(FAMILY, method=method).p_values.tolist()
    )


@pytest.mark.parametrize("family", [[], [[0.1, 0.2]], [1.2], [-0.1]])
def test_adjust__impossible_family__is_refused(family: object) -> None:
    with pytest.raises(ValueError, match="p_values"):
        adjust(family)  # type: ignore[arg-type]  # wrong on purpose


def test_adjust_e_values__by_hand__rejects_the_largest_prefix() -> None:
    # m = 4: sorted 90, 50, 25, 1; needed 80, 40, 26.7, 20: the first two pass.
    family = adjust_e_values([25.0, 90.0, 1.0, 50.0], alpha=0.05)
    assert family.rejected.tolist() == [False, True, False, True]
    assert family.p_values.tolist() == pytest.approx([4 / (3 * 25), 4 / (2 * 50), 1.0, 4 / (2 * 50)])


def test_adjust_e_values__undefined_and_zero__are_not_rejected() -> None:
    family = adjust_e_values([np.nan, 0.0, 1e6])
    assert family.rejected.tolist() == [False, False, True]
    assert np.isnan(family.p_values[0])


@pytest.mark.parametrize("values", [[], [-1.0], [[1.0, 2.0]]])
def test_adjust_e_values__impossible__is_refused(values: object) -> None:
    with pytest.raises(ValueError, match="e_values"):
        adjust_e_values(values)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize(
    ("method", "level", "kind"),
    [
        (Adjustment.BONFERRONI, 1 - 0.05 / 4, IntervalKind.SIMULTANEOUS),
        (Adjustment.HOLM, 1 - 0.05 / 4, IntervalKind.CONSERVATIVE),
        (Adjustment.HOCHBERG, 1 - 0.05 / 4, IntervalKind.CONSERVATIVE),
        (Adjustment.BENJAMINI_HOCHBERG, 1 - 4 * 0.05 / 4, IntervalKind.FALSE_COVERAGE_RATE),
        (Adjustment.BENJAMINI_YEKUTIELI, 1 - 2 * 0.05 / (4 * 25 / 12), IntervalKind.FALSE_COVERAGE_RATE),
    ],
)
def test_interval_level__each_method__says_what_it_promises(
    method: Adjustment, level: float, kind: IntervalKind
) -> None:
    found = interval_level(adjust(FAMILY, method=method))
    assert found[0] == pytest.approx(level)
    assert found[1] is kind


def test_adjusted_interval__student_and_normal__take_their_quantiles() -> None:
    family = adjust([0.01, 0.02], method=Adjustment.BONFERRONI)
    told = adjusted_interval([1.0, 1.0], [1.0, 1.0], family, df=[7.0, np.inf])
    assert told.upper.tolist() == pytest.approx([1 + stats.t.ppf(0.9875, 7), 1 + stats.norm.ppf(0.9875)])


def test_adjusted_interval__bonferroni__covers_all_members_together() -> None:
    rng = np.random.default_rng(20261124)
    z = rng.standard_normal((4_000, 5))
    family = adjust(np.full(5, 0.5), method=Adjustment.BONFERRONI)
    told = adjusted_interval(z, 1.0, family)
    missed = 1 - told.contains(0.0).all(axis=1).mean()
    assert missed == pytest.approx(1 - 0.99**5, abs=3 * (0.05 * 0.95 / 4_000) ** 0.5)


@pytest.mark.parametrize("alternative", Alternative)
@pytest.mark.parametrize(
    "method", [Adjustment.BONFERRONI, Adjustment.BENJAMINI_HOCHBERG, Adjustment.BENJAMINI_YEKUTIELI]
)
def test_adjusted_interval__any_family__agrees_with_its_p_values(method: Adjustment, alternative: Alternative) -> None:
    rng = np.random.default_rng(8)
    for _ in range(40):
        effect = rng.normal(0.0, 2.5, int(rng.integers(1, 9)))
        effect[rng.random(effect.size) < 0.1] = np.nan
        family = adjust(tail_probability(effect, np.inf, alternative), method=method)
        told = adjusted_interval(effect, 1.0, family, alternative=alternative)
        known = ~np.isnan(effect)
        assert np.array_equal(family.rejected[known], ~told.contains(0.0)[known])
        assert np.isnan(told.lower[~known]).all()
        assert np.isnan(told.upper[~known]).all()
