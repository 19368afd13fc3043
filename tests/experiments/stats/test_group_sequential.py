from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from experiments.stats.group_sequential import (
    GroupBounds,
    Spending,
    alpha_spent,
    crossing_probabilities,
    final_estimate,
    group_bounds,
    inflation_factor,
    repeated_interval,
    repeated_p_value,
)
from experiments.stats.results import IntervalKind

TIMES = (0.15, 0.4, 0.7, 1.0)


def walk(times: tuple[float, ...], drift: float, runs: int = 40_000) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Z at the times, for many runs."""
    rng = np.random.default_rng(20261124)
    steps = np.diff(times, prepend=0.0)
    score = (rng.standard_normal((runs, len(times))) * np.sqrt(steps) + drift * steps).cumsum(axis=1)
    return np.asarray(score / np.sqrt(times), dtype=np.float64)


@settings(deadline=None, max_examples=10)
@given(
    gaps=st.lists(st.floats(0.02, 1.0), min_size=1, max_size=6),
    spending=st.sampled_from(Spending),
    sides=st.sampled_from([1, 2]),
    alpha=st.sampled_from([0.01, 0.05, 0.1]),
)
def test_group_bounds__any_times__spend_exactly_alpha(
    gaps: list[float], spending: Spending, sides: int, alpha: float
) -> None:
    times = np.cumsum(gaps) / sum(gaps)
    bounds = group_bounds(times, alpha=alpha, sides=sides, spending=spending)
    spent = crossing_probabilities(bounds, 0.0)
    assert spent == pytest.approx(np.diff(bounds.spent, prepend=0.0), abs=1e-8)
    assert spent.sum() == pytest.approx(alpha, abs=1e-8)


def test_group_bounds__one_look__is_the_fixed_horizon() -> None:
    assert group_bounds([1.0]).z[0] == pytest.approx(stats.norm.ppf(0.975))
    assert group_bounds([1.0], sides=1).z[0] == pytest.approx(stats.norm.ppf(0.95))


def test_group_bounds__very_early_look__may_spend_nothing() -> None:
    bounds = group_bounds([0.001, 1.0])
    assert math.isinf(bounds.z[0])
    assert bounds.nominal_alpha[0] == 0
    assert bounds.z[1] == pytest.approx(stats.norm.ppf(0.975), abs=1e-6)


def test_group_bounds__look_after_the_plan_is_spent__may_spend_nothing() -> None:
    assert math.isinf(group_bounds([0.5, 1.0, 1.3]).z[2])


@pytest.mark.parametrize(
    "wrong",
    [
        {"times": []},
        {"times": [0.5, 0.5]},
        {"times": [-0.1, 1.0]},
        {"times": [[0.5, 1.0]]},
        {"times": [1.0], "alpha": 0.0},
        {"times": [1.0], "sides": 3},
        {"times": [1.0], "spending": Spending.POWER, "phi": 0.0},
    ],
)
def test_group_bounds__impossible__is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"times|alpha|phi"):
        group_bounds(**wrong)


def test_alpha_spent__one_sided_obrien_fleming__ends_at_alpha() -> None:
    assert alpha_spent([0.3, 1.0, 2.0], alpha=0.025, sides=1)[1:].tolist() == pytest.approx([0.025, 0.025])


@pytest.mark.parametrize("sides", [1, 2])
def test_crossing_probabilities__with_an_effect__agree_with_walks(sides: int) -> None:
    bounds = group_bounds(TIMES, sides=sides, spending=Spending.POCOCK)
    z = walk(TIMES, 2.5)
    over = (np.abs(z) if sides == 2 else z) >= bounds.z
    first = np.where(over.any(axis=1), over.argmax(axis=1), -1)
    found = [(first == look).mean() for look in range(len(TIMES))]
    assert crossing_probabilities(bounds, 2.5) == pytest.approx(found, abs=0.009)


@pytest.mark.parametrize("drift", [40.0, -40.0])
def test_crossing_probabilities__enormous_drift__stop_at_the_first_look(drift: float) -> None:
    assert crossing_probabilities(group_bounds(TIMES), drift).tolist() == pytest.approx([1, 0, 0, 0], abs=1e-9)


def test_inflation_factor__obrien_fleming__costs_little() -> None:
    factor = inflation_factor(group_bounds(TIMES), 0.8)
    assert 1.0 < factor < 1.05
    drift = math.sqrt(factor) * (stats.norm.ppf(0.975) + stats.norm.ppf(0.8))
    assert crossing_probabilities(group_bounds(TIMES), drift).sum() == pytest.approx(0.8, abs=1e-6)


def test_repeated_interval__all_looks__cover_together() -> None:
    bounds = group_bounds(TIMES)
    z = walk(TIMES, 0.0)
    missed = 1 - repeated_interval(z, np.ones(len(TIMES)), bounds).contains(0.0).all(axis=1).mean()
    assert missed == pytest.approx(0.05, abs=0.0035)


def test_repeated_interval__one_sided__is_open_above() -> None:
    told = repeated_interval([1.0], [0.1], group_bounds([1.0], sides=1))
    assert math.isinf(told.upper[0])
    assert told.lower[0] == pytest.approx(1 - 0.1 * stats.norm.ppf(0.95))
    assert told.kind is IntervalKind.REPEATED


@pytest.mark.parametrize("alpha", [0.01, 0.2])
@pytest.mark.parametrize("sides", [1, 2])
def test_repeated_p_value__at_the_bound__is_alpha(alpha: float, sides: int) -> None:
    bounds = group_bounds(TIMES[:2], alpha=alpha, sides=sides)
    assert repeated_p_value(float(bounds.z[-1]), TIMES[:2], sides=sides) == pytest.approx(alpha, rel=1e-6)


def test_repeated_p_value__no_or_overwhelming_effect__is_cut() -> None:
    assert repeated_p_value(-9.0, [1.0], sides=1) == 1.0
    assert repeated_p_value(60.0, [1.0]) == pytest.approx(1e-300)


@pytest.mark.parametrize("z", [5.0, 12.0, 25.0, 36.5])
def test_repeated_p_value__far_tail__keeps_its_digits(z: float) -> None:
    assert repeated_p_value(z, [1.0]) == pytest.approx(2 * special.ndtr(-z), rel=1e-6, abs=0)
    # First look of an O'Brien–Fleming-like design: alpha = 4 Φ(−y √t) with 2 Φ(−y) = Φ(−z).
    spent = 4 * special.ndtr(special.ndtri(special.ndtr(-z) / 2) * 0.5**0.5)
    assert repeated_p_value(z, [0.5]) == pytest.approx(spent, rel=1e-6, abs=0)


def test_repeated_p_value__far_tail_of_a_second_look__is_that_of_two_independent_steps() -> None:
    # Nothing can stop the first look of so small an alpha, so the second is a plain normal tail.
    assert repeated_p_value(20.0, [0.01, 1.0]) == pytest.approx(2 * special.ndtr(-20.0), rel=1e-6, abs=0)


def chance_of_outcome_at_least(bounds: GroupBounds, drift: float, look: int, z: float) -> float:
    """By simulation: how often a trial ends at least as high as (look, z) in the stage-wise order."""
    paths = walk(TIMES, drift)
    over = (np.abs(paths) if bounds.sides == 2 else paths) >= bounds.z
    over[:, -1] = True
    stage = over.argmax(axis=1)
    final = paths[np.arange(len(paths)), stage]
    crossed_up = final >= bounds.z[stage]
    crossed_down = (final <= -bounds.z[stage]) if bounds.sides == 2 else np.zeros(len(paths), dtype=bool)
    if z >= 0:
        higher = (crossed_up & (stage < look)) | ((stage == look) & (final >= z))
        return float(higher.mean())
    lower = (crossed_down & (stage < look)) | ((stage == look) & (final <= z))
    return float(1 - lower.mean())


@pytest.mark.parametrize(
    ("look", "z", "sides"), [(0, 6.0, 2), (1, 3.5, 2), (2, -2.9, 2), (3, 1.2, 2), (3, -0.5, 2), (3, -0.4, 1)]
)
def test_final_estimate__median_and_ends__have_their_probabilities(look: int, z: float, sides: int) -> None:
    bounds = group_bounds(TIMES, sides=sides)
    told = final_estimate(z, 1.0, bounds, look=look, level=0.8)
    root = math.sqrt(TIMES[look])
    for effect, probability in (
        (told.estimate, 0.5),
        (float(told.interval.lower), 0.1),
        (float(told.interval.upper), 0.9),
    ):
        found = chance_of_outcome_at_least(bounds, effect / root, look, z)
        assert found == pytest.approx(probability, abs=0.011)


def test_final_estimate__stopped_at_the_first_look__is_the_plain_estimate() -> None:
    told = final_estimate(0.6, 0.1, group_bounds([0.5, 1.0]), look=0)
    assert told.estimate == pytest.approx(0.6)
    assert float(told.interval.upper) == pytest.approx(0.6 + 0.1 * stats.norm.ppf(0.975))


def test_final_estimate__enormous_z_after_skipped_looks__is_found() -> None:
    bounds = group_bounds([0.25, 0.5, 0.75, 1.0])
    told = final_estimate(5.0, 0.1, bounds, look=3)
    drift = told.estimate / 0.1
    assert float(crossing_probabilities(bounds, drift)[:3].sum()) == pytest.approx(0.5, abs=1e-5)
    assert float(told.interval.lower) < told.estimate < float(told.interval.upper)


@pytest.mark.parametrize(("error", "look"), [(0.0, 0), (1.0, 2), (1.0, -1)])
def test_final_estimate__impossible__is_refused(error: float, look: int) -> None:
    with pytest.raises(ValueError, match=r"look|standard_error"):
        final_estimate(1.0, error, group_bounds([0.5, 1.0]), look=look)
