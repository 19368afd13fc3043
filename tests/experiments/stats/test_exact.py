"""The exact regime: against scipy, by enumeration, in time, with real answers for zero events."""

from __future__ import annotations

import itertools
import math
import time
from fractions import Fraction
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import barnard_exact, boschloo_exact, fisher_exact

from experiments.stats.densities import hypergeometric
from experiments.stats.exact import (
    compare_by_regime,
    compare_exact,
    exact_p_value,
    fisher_p_value,
    needs_exact,
)
from experiments.stats.results import Alternative, Reason
from experiments.stats.unconditional import barnard_p_value, boschloo_p_value

TABLES = [(3, 20, 10, 22), (0, 30, 6, 25), (5, 5, 0, 7), (12, 60, 5, 45), (1, 9, 1, 12), (20, 100, 33, 110)]


# scipy's columns are control and treatment, and its "less" is about the first
MIRRORED: dict[Alternative, Literal["less", "greater", "two-sided"]] = {
    Alternative.GREATER: "less",
    Alternative.LESS: "greater",
    Alternative.TWO_SIDED: "two-sided",
}


def _matrix(table: tuple[int, int, int, int]) -> NDArray[np.int64]:
    x_c, n_c, x_t, n_t = table
    return np.array([[x_c, x_t], [n_c - x_c, n_t - x_t]])


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("alternative", list(Alternative))
def test_boschloo_and_fisher__tables__equal_to_scipy(
    table: tuple[int, int, int, int], alternative: Alternative
) -> None:
    other = MIRRORED[alternative]
    boschloo = boschloo_exact(_matrix(table), alternative=other, n=64).pvalue
    assert boschloo_p_value(*table, alternative=alternative) == pytest.approx(boschloo, rel=1e-7)
    fisher = fisher_exact(_matrix(table), alternative=other).pvalue
    assert fisher_p_value(*table, alternative=alternative) == pytest.approx(float(fisher), rel=1e-11)


def _choose_density(x: int, marked: int, others: int, drawn: int) -> Fraction:
    return Fraction(math.comb(marked, x) * math.comb(others, drawn - x), math.comb(marked + others, drawn))


@pytest.mark.parametrize("table", [*TABLES, (50, 10_000, 0, 10_000), (3, 5000, 30, 7000)])
def test_fisher_mid_p__rational_arithmetic__equal(table: tuple[int, int, int, int]) -> None:
    x_c, n_c, x_t, n_t = table
    total = x_c + x_t
    support = range(max(0, total - n_c), min(total, n_t) + 1)
    density = {x: _choose_density(x, n_t, n_c, total) for x in support}
    greater = sum((p for x, p in density.items() if x > x_t), Fraction(0)) + density[x_t] / 2
    less = sum((p for x, p in density.items() if x < x_t), Fraction(0)) + density[x_t] / 2
    assert fisher_p_value(*table, mid_p=True) == pytest.approx(
        float(min(Fraction(1), 2 * min(greater, less))), rel=1e-11
    )
    for alternative, expected in ((Alternative.GREATER, greater), (Alternative.LESS, less)):
        found = fisher_p_value(*table, alternative=alternative, mid_p=True)
        assert found == pytest.approx(float(expected), rel=1e-10, abs=1e-16)


def test_exact_tests__far_out__keep_their_digits() -> None:
    one_sided = boschloo_p_value(0, 200, 200, 200, alternative=Alternative.GREATER)
    assert one_sided == pytest.approx(4.0**-200, rel=1e-10)
    tail = sum((_choose_density(x, 3000, 3000, 810) for x in range(801, 811)), Fraction(0))
    expected = 2 * (tail + _choose_density(800, 3000, 3000, 810) / 2)
    assert 0 < expected < 1e-240
    assert fisher_p_value(10, 3000, 800, 3000, mid_p=True) == pytest.approx(float(expected), rel=1e-10)


def test_boschloo__enumeration_of_all_outcomes__is_the_supremum() -> None:
    n_c, n_t, x_c, x_t = 6, 5, 1, 4
    outcomes = list(itertools.product(range(n_c + 1), range(n_t + 1)))

    def fisher(c: int, t: int) -> float:
        return fisher_p_value(c, n_c, t, n_t, alternative=Alternative.GREATER)

    region = [(c, t) for c, t in outcomes if fisher(c, t) <= fisher(x_c, x_t) * (1 + 1e-9)]
    rates = np.linspace(0, 1, 20_001)
    chance = sum(
        math.comb(n_c, c) * math.comb(n_t, t) * rates ** (c + t) * (1 - rates) ** (n_c + n_t - c - t) for c, t in region
    )
    found = boschloo_p_value(x_c, n_c, x_t, n_t, alternative=Alternative.GREATER)
    assert found == pytest.approx(float(np.max(chance)), rel=1e-7)


@settings(max_examples=15, deadline=None)
@given(n=st.tuples(st.integers(2, 8), st.integers(2, 8)), rate=st.floats(0.02, 0.98))
def test_boschloo__any_size_and_rate__rejects_at_most_alpha(n: tuple[int, int], rate: float) -> None:
    chance = [[math.comb(m, k) * rate**k * (1 - rate) ** (m - k) for k in range(m + 1)] for m in n]
    size = sum(
        chance[0][c] * chance[1][t]
        for c, t in itertools.product(range(n[0] + 1), range(n[1] + 1))
        if boschloo_p_value(c, n[0], t, n[1]) <= 0.2
    )
    assert size <= 0.2 + 1e-9


def _pooled_z_squared(c: int, n_c: int, t: int, n_t: int) -> Fraction:
    """Signed square of the pooled z, without rounding."""
    p = Fraction(c + t, n_c + n_t)
    gap = Fraction(t, n_t) - Fraction(c, n_c)
    return (
        Fraction(0)
        if gap == 0
        else (1 if gap > 0 else -1) * gap**2 / (p * (1 - p) * (Fraction(1, n_c) + Fraction(1, n_t)))
    )


@settings(max_examples=25, deadline=None)
@given(
    n=st.tuples(st.integers(2, 9), st.integers(2, 9)),
    shares=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    alternative=st.sampled_from(list(Alternative)),
)
def test_barnard__ties_in_rational_arithmetic__is_the_supremum(
    n: tuple[int, int], shares: tuple[float, float], alternative: Alternative
) -> None:
    # scipy's Barnard test loses tables that are as extreme as the observed one to rounding
    x = round(n[0] * shares[0]), round(n[1] * shares[1])
    observed = _pooled_z_squared(x[0], n[0], x[1], n[1])
    rates = np.linspace(0, 1, 4001)
    chance = np.zeros(rates.size)
    for c, t in itertools.product(range(n[0] + 1), range(n[1] + 1)):
        z = _pooled_z_squared(c, n[0], t, n[1])
        extreme = {
            Alternative.GREATER: z >= observed,
            Alternative.LESS: z <= observed,
            Alternative.TWO_SIDED: abs(z) >= abs(observed),
        }[alternative]
        if extreme:
            ways = math.comb(n[0], c) * math.comb(n[1], t)
            chance += ways * rates ** (c + t) * (1 - rates) ** (sum(n) - c - t)
    found = barnard_p_value(x[0], n[0], x[1], n[1], alternative=alternative)
    assert found == pytest.approx(min(1.0, float(chance.max())), rel=1e-4)
    assert found >= float(chance.max()) * (1 - 1e-4)


def test_barnard__without_ties__equal_to_scipy() -> None:
    table = 20, 100, 33, 110
    for pooled in (True, False):
        expected = float(barnard_exact(_matrix(table), pooled=pooled).pvalue)
        assert barnard_p_value(*table, pooled=pooled) == pytest.approx(expected, rel=1e-9)
    with pytest.raises(ValueError, match="successes must lie"):
        barnard_p_value(3, 2, 1, 2)


@settings(max_examples=15, deadline=None)
@given(n=st.tuples(st.integers(2, 14), st.integers(2, 14)))
def test_fisher__more_treated_events__never_less_extreme(n: tuple[int, int]) -> None:
    # what Boschloo's region of rejection relies on (Barnard's convexity)
    for c in range(n[0] + 1):
        row = [fisher_p_value(c, n[0], t, n[1], alternative=Alternative.GREATER) for t in range(n[1] + 1)]
        assert all(later <= earlier * (1 + 1e-12) for earlier, later in itertools.pairwise(row))


def test_boschloo__fisher_above_it__never_less_powerful() -> None:
    for table in TABLES:
        one_sided = boschloo_p_value(*table, alternative=Alternative.GREATER)
        assert one_sided <= fisher_p_value(*table, alternative=Alternative.GREATER) * (1 + 1e-9)


def test_compare_exact__zero_event_arm__real_answer_where_a_peer_says_one() -> None:
    result = compare_exact(50, 10_000, 0, 10_000).at()
    assert result.p_value is not None
    assert 1e-16 < result.p_value < 1e-14
    assert result.effect_ci is not None
    assert result.effect_ci.upper < 0
    assert result.effect_ci.method == "miettinen-nurminen"
    assert (result.lift, result.lift_reason) == (None, Reason.NON_POSITIVE_MEAN)


def test_compare_exact__no_event_at_all__one_not_none() -> None:
    result = compare_exact(0, 100, 0, 120).at()
    assert result.p_value == 1.0
    assert result.reason is None
    assert compare_exact(0, 0, 1, 10).at().reason == Reason.TOO_FEW_UNITS
    assert compare_exact(0, 0, 1, 10).at().lift_reason == Reason.TOO_FEW_UNITS


def test_compare_exact__lift__score_interval_that_says_so() -> None:
    result = compare_exact(3, 400, 12, 380).at()
    assert result.method == "fisher-mid-p"
    assert result.lift_ci is not None
    assert result.lift_ci.method == "miettinen-nurminen ratio"
    assert result.lift_p_value == result.p_value
    assert compare_exact([3, 3], [20, 4000], [10, 10], [22, 4000]).method == "boschloo or fisher-mid-p"


def test_compare_by_regime__few_events__exact_elsewhere_wald() -> None:
    mixed = compare_by_regime([10, 500], 5000, [30, 560], 5000)
    assert mixed.exact.tolist() == [True, False]
    assert mixed.comparison.p_value[0] == pytest.approx(exact_p_value(10, 5000, 30, 5000))
    assert mixed.comparison.at(1).p_value == pytest.approx(
        compare_by_regime(500, 5000, 560, 5000).comparison.at().p_value
    )
    assert "or" in mixed.comparison.effect_ci.method
    assert compare_by_regime(10, 5000, 30, 5000).exact.all()
    assert needs_exact(4990, 5000, 4000, 5000).all()


def test_exact_p_value__largest_boschloo_and_huge_arms__within_50_ms() -> None:
    tables = [
        (24, 200, 45, 200),
        (0, 200, 8, 200),
        (0, 200, 0, 200),
        (24, 10_000_000, 60, 10_000_000),
        (20, 10**9, 900_000, 10**9),
    ]
    for table in tables:
        taken = []
        for _ in range(5):  # the least of five: other work on the machine is not the call's
            before = time.process_time()
            exact_p_value(*table)
            taken.append(time.process_time() - before)
        assert min(taken) < 0.05, table


def test_hypergeometric__large_numbers__keep_their_digits() -> None:
    found = float(hypergeometric(3, 5_000_000, 5_000_000, 10)[()])
    assert found == pytest.approx(float(_choose_density(3, 5_000_000, 5_000_000, 10)), rel=1e-12)
    far = float(hypergeometric(20, 10**6, 9 * 10**6, 80)[()])
    assert far == pytest.approx(float(_choose_density(20, 10**6, 9 * 10**6, 80)), rel=1e-12)
    assert hypergeometric([0, 1], 3, 4, 0).tolist() == [1.0, 0.0]
    assert float(hypergeometric([3], 3, 4, 7)[0]) == 1.0


def test_exact_p_value__impossible_counts__value_error() -> None:
    with pytest.raises(ValueError, match="successes must lie"):
        fisher_p_value(3, 2, 1, 2)
    with pytest.raises(ValueError, match="successes must lie"):
        boschloo_p_value(3, 2, 1, 2)


def test_exact_tests__simulation__at_most_alpha_where_wald_is_not() -> None:
    rng = np.random.default_rng(2)
    x_c, x_t = rng.binomial(1000, 0.004, 1500), rng.binomial(9000, 0.004, 1500)
    found = compare_exact(x_c, 1000, x_t, 9000).p_value
    assert (found < 0.05).mean() <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1500)


@pytest.mark.parametrize("alternative", Alternative)
@pytest.mark.parametrize("largest", [60, 4_000])
def test_compare_exact__any_tables__p_value_agrees_with_its_intervals(alternative: Alternative, largest: int) -> None:
    rng = np.random.default_rng(12)
    n = rng.integers(3, largest, (2, 300))
    x = np.minimum(rng.integers(0, 25, (2, 300)), n)
    x[0, :40], x[1, 40:60] = 0, n[1, 40:60]
    told = compare_exact(x[0], n[0], x[1], n[1], alternative=alternative)
    rejected = told.p_value < 0.05
    assert 20 < rejected.sum() < 280
    assert np.array_equal(rejected, ~told.effect_ci.contains(0.0))
    lifted = np.isfinite(told.lift)
    assert np.array_equal(rejected[lifted], ~told.lift_ci.contains(0.0)[lifted])
    assert told.effect_ci.contains(told.effect).all()
