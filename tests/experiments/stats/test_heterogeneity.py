from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from experiments.stats.heterogeneity import experiment_interaction, segment_effects


def test_segment_effects__by_hand__is_cochrans_q() -> None:
    told = segment_effects([0.1, 0.3], [0.1, 0.2], [90, 90], [90, 90])
    weight = np.array([100.0, 25.0])
    mean = (weight * [0.1, 0.3]).sum() / weight.sum()
    q = (weight * (np.array([0.1, 0.3]) - mean) ** 2).sum()
    assert told.interaction_p_value == pytest.approx(stats.chi2.sf(q, 1))
    assert told.tau == 0.0  # q < 1 degree of freedom
    assert told.heterogeneity == 0.0
    assert told.common_effect == pytest.approx(mean)
    assert told.common_standard_error == pytest.approx(125**-0.5)
    assert told.shrunk.tolist() == pytest.approx([mean, mean])


def test_segment_effects__real_differences__are_kept() -> None:
    told = segment_effects([0.1, 0.1, 0.5, 0.5], [0.01] * 4, [900] * 4, [900] * 4)
    assert told.interaction_p_value is not None
    assert told.interaction_p_value < 1e-100
    assert told.shrunk == pytest.approx([0.1, 0.1, 0.5, 0.5], abs=0.002)
    assert told.heterogeneity == pytest.approx(1, abs=0.01)


def test_segment_effects__small_or_undefined_segments__are_hidden() -> None:
    told = segment_effects([0.1, 9.0, np.nan, 0.2], [0.1, 0.1, 0.1, 0.1], [500, 49, 500, 500], 500)
    assert told.shown.tolist() == [True, False, False, True]
    assert np.isnan(told.shrunk).tolist() == [False, True, True, False]
    assert np.isnan(told.effect[1])
    assert told.common_effect == pytest.approx(0.15)


def test_segment_effects__one_segment__has_no_interaction() -> None:
    told = segment_effects([0.2], [0.1], [500], [500])
    assert told.interaction_p_value is None
    assert told.heterogeneity is None
    assert told.shrunk[0] == pytest.approx(0.2)
    assert float(told.shrunk_interval.upper[0]) == pytest.approx(0.2 + 1.959964 * 0.1, rel=1e-6)


def test_segment_effects__no_segment_large_enough__is_undefined() -> None:
    told = segment_effects([0.2, 0.1], [0.1, 0.1], [5, 5], [5, 5])
    assert (told.common_effect, told.tau, told.interaction_p_value) == (None, None, None)
    assert np.isnan(told.shrunk_interval.lower).all()


def test_segment_effects__equal_effects__heterogeneity_is_zero() -> None:
    told = segment_effects([0.2, 0.2], [0.1, 0.1], [500, 500], [500, 500])
    assert told.heterogeneity == 0.0
    assert told.interaction_p_value == pytest.approx(1.0)


def test_segment_effects__noise_only__interaction_test_holds_alpha_and_shrinkage_helps() -> None:
    rng = np.random.default_rng(20261124)
    alarms, raw, shrunk = 0, 0.0, 0.0
    for _ in range(1_500):
        y = rng.normal(0.1, 0.05, 8)
        told = segment_effects(y, np.full(8, 0.05), np.full(8, 500), np.full(8, 500))
        assert told.interaction_p_value is not None
        alarms += told.interaction_p_value < 0.05
        raw += float(((y - 0.1) ** 2).sum())
        shrunk += float(((told.shrunk - 0.1) ** 2).sum())
    assert alarms / 1_500 == pytest.approx(0.05, abs=3 * (0.05 * 0.95 / 1_500) ** 0.5)
    assert shrunk < 0.5 * raw


def test_experiment_interaction__against_least_squares__agrees() -> None:
    rng = np.random.default_rng(20261124)
    a, b = rng.integers(0, 2, 4_000), rng.integers(0, 2, 4_000)
    y = 10 + a + 0.5 * b + 0.8 * a * b + rng.normal(0, 2, 4_000)
    cells = [[y[(a == i) & (b == j)] for j in (0, 1)] for i in (0, 1)]
    told = experiment_interaction(
        [[cell.mean() for cell in row] for row in cells],
        [[cell.var(ddof=1) for cell in row] for row in cells],
        [[cell.size for cell in row] for row in cells],
    )
    design = np.column_stack([np.ones(4_000), a, b, a * b])
    slope = np.linalg.lstsq(design, y, rcond=None)[0][3]
    assert float(told.effect) == pytest.approx(slope)
    assert bool(told.interval.contains(0.8))
    assert float(told.p_value) == pytest.approx(2 * stats.norm.sf(abs(slope) / float(told.standard_error)))


def test_experiment_interaction__lifts_multiply__have_no_relative_interaction() -> None:
    told = experiment_interaction(
        [[10.0, 11.0], [12.0, 13.2]], np.full((2, 2), 4.0), np.full((2, 2), 100), relative=True
    )
    assert float(told.effect) == pytest.approx(0, abs=1e-12)
    assert float(told.p_value) == pytest.approx(1)


def test_experiment_interaction__mean_not_positive__has_no_relative_interaction() -> None:
    told = experiment_interaction(
        [[0.0, 11.0], [12.0, 13.2]], np.full((2, 2), 4.0), np.full((2, 2), 100), relative=True
    )
    assert np.isnan(told.effect)
    assert told.interval.at() is None


@pytest.mark.parametrize("changes", [{"variances": 0.0}, {"counts": [[0, 100], [100, 100]]}])
def test_experiment_interaction__no_variance_or_empty_cell__is_undefined(changes: dict[str, object]) -> None:
    told = experiment_interaction(
        **{"means": [[1.0, 1.0], [1.0, 2.0]], "variances": 4.0, "counts": 100, **changes}  # type: ignore[arg-type]  # one argument is replaced
    )
    assert np.isnan(told.p_value)
    assert told.interval.at() is None


def test_experiment_interaction__many_metrics__are_vectorized() -> None:
    told = experiment_interaction(np.ones((5, 2, 2)), np.ones((2, 2)), np.full((2, 2), 50))
    assert told.p_value.tolist() == [1.0] * 5


def test_experiment_interaction__not_two_by_two__is_refused() -> None:
    with pytest.raises(ValueError, match="2, 2"):
        experiment_interaction(np.ones((2, 3)), 1.0, 1.0)


@pytest.mark.parametrize("size", [2, 3, 5, 8, 20])
@pytest.mark.parametrize("tau", [0.0, 0.05, 0.1])
def test_segment_effects__shrunk_intervals__cover(size: int, tau: float) -> None:
    rng = np.random.default_rng(100 * size + int(100 * tau))
    errors = np.geomspace(0.02, 0.2, size)
    covered = []
    for _ in range(400):
        truth = rng.normal(0.1, tau, size)
        told = segment_effects(rng.normal(truth, errors), errors, 500, 500)
        covered.append(told.shrunk_interval.contains(truth).mean())
    assert 0.88 < np.mean(covered) <= 1.0
