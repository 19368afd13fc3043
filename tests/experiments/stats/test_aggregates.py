"""Aggregates: exact at mean / sd = 1e8, mergeable in any grouping, equal to numpy."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.stats.aggregates import Aggregates, aggregate, choose_shift, from_sums
from experiments.stats.mean import compare_means

EXACT = 1e-12
FINITE = st.floats(-1e6, 1e6, allow_nan=False, width=32)


def _exact_moments(values: np.ndarray) -> tuple[float, float]:
    """Mean and sample variance of doubles in rational arithmetic."""
    numbers = [Fraction(float(v)) for v in values]
    mean = sum(numbers, Fraction(0)) / len(numbers)
    return float(mean), float(sum(((x - mean) ** 2 for x in numbers), Fraction(0)) / (len(numbers) - 1))


def _pieces(y: np.ndarray, x: np.ndarray, shift: list[float], rng: np.random.Generator) -> Aggregates:
    """Seven unequal pieces merged one by one."""
    edges = [0, *np.sort(rng.choice(np.arange(1, y.size), 6, replace=False)).tolist(), y.size]
    parts = [aggregate({"y": y[a:b], "x": x[a:b]}, shift=shift) for a, b in pairwise(edges)]
    total = parts[0]
    for part in parts[1:]:
        total = total.merge(part)
    return total


@pytest.mark.parametrize("level", [0.0, 1e4, 1e8])
def test_aggregate__mean_far_from_zero__moments_exact_to_1e_12(level: float) -> None:
    rng = np.random.default_rng(3)
    y, x = level + rng.normal(size=4000), 3 * level + rng.normal(size=4000)
    shift = [choose_shift(y[:100]), choose_shift(x[:100])]
    mean, variance = _exact_moments(y)
    total_mean = Fraction(0) + sum((Fraction(float(a)) for a in y), Fraction(0)) / 4000
    mean_x = sum((Fraction(float(a)) for a in x), Fraction(0)) / 4000
    cross = sum(
        ((Fraction(float(a)) - total_mean) * (Fraction(float(b)) - mean_x) for a, b in zip(y, x, strict=True)),
        Fraction(0),
    )
    for cells in (aggregate({"y": y, "x": x}, shift=shift), _pieces(y, x, shift, rng)):
        assert float(cells.mean("y")) == pytest.approx(mean, rel=EXACT, abs=1e-15)
        assert float(cells.variance("y")) == pytest.approx(variance, rel=EXACT)
        assert float(cells.covariance("y", "x")) == pytest.approx(float(cross / 3999), rel=1e-11, abs=1e-14)


def test_compare_means__mean_sd_1e8__effect_and_error_keep_their_digits() -> None:
    rng = np.random.default_rng(5)
    base = np.round(rng.normal(size=(2, 500)) * 2**20) / 2**20  # so that adding the level is exact
    plain = aggregate({"y": base.ravel()}, groups=np.repeat([0, 1], 500))
    far = aggregate({"y": base.ravel() + 2**27}, groups=np.repeat([0, 1], 500), shift=2**27 + 0.5)
    near, lifted = compare_means(plain[0], plain[1]), compare_means(far[0], far[1])
    assert float(lifted.effect) == pytest.approx(float(near.effect), rel=EXACT)
    assert float(lifted.standard_error) == pytest.approx(float(near.standard_error), rel=EXACT)
    assert float(lifted.p_value) == pytest.approx(float(near.p_value), rel=1e-11)


def test_aggregate__raw_sums_of_squares__would_lose_every_digit() -> None:
    y = 1e8 + np.random.default_rng(5).normal(size=2000)
    kept = float(aggregate({"y": y}, shift=1e8).variance())
    assert kept == pytest.approx(_exact_moments(y)[1], rel=EXACT)
    assert float(aggregate({"y": y}).variance()) != pytest.approx(kept, rel=1e-3)


@settings(max_examples=60, deadline=None)
@given(data=st.lists(st.tuples(FINITE, FINITE), min_size=4, max_size=40), cut=st.integers(1, 3))
def test_merge__any_split__same_as_all_at_once(data: list[tuple[float, float]], cut: int) -> None:
    y, x = np.array([a for a, _ in data]), np.array([b for _, b in data])
    whole = aggregate({"y": y, "x": x}, shift=[1.5, -2.5])
    split = aggregate({"y": y[:cut], "x": x[:cut]}, shift=[1.5, -2.5]).merge(
        aggregate({"y": y[cut:], "x": x[cut:]}, shift=[1.5, -2.5])
    )
    scale = 1 + float(np.abs(whole.products).max())
    assert split.sums == pytest.approx(whole.sums, rel=EXACT, abs=EXACT * scale)
    assert split.products == pytest.approx(whole.products, rel=EXACT, abs=EXACT * scale)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), FINITE, FINITE), min_size=1, max_size=60))
def test_aggregate__groups__equal_to_numpy_per_group(rows: list[tuple[int, float, float]]) -> None:
    labels = np.array([r[0] for r in rows])
    y, x = np.array([r[1] for r in rows]), np.array([r[2] for r in rows])
    cells = aggregate({"y": y, "x": x}, groups=labels, n_groups=6)
    for cell in range(6):
        mine = labels == cell
        assert cells.count[cell] == mine.sum()
        if mine.sum() >= 2:
            expected = np.cov(y[mine], x[mine])
            scale = float((y[mine] ** 2).sum() + (x[mine] ** 2).sum())
            assert cells.covariance_matrix(["y", "x"])[cell] == pytest.approx(expected, rel=1e-9, abs=1e-12 * scale)
        else:
            assert np.isnan(cells.variance("y")[cell])


def test_aggregate__more_rows_than_a_block__equal_to_numpy() -> None:
    rng = np.random.default_rng(1)
    y, labels = rng.normal(5, 2, 50_001), rng.integers(0, 3, 50_001)
    cells = aggregate({"y": y}, groups=labels, shift=5.0)
    for cell in range(3):
        assert cells.variance()[cell] == pytest.approx(y[labels == cell].var(ddof=1), rel=EXACT)


def test_aggregate__frequencies_and_weights__equal_to_numpy_cov() -> None:
    rng = np.random.default_rng(2)
    y, x = rng.normal(size=50), rng.normal(size=50)
    f, w = rng.integers(0, 4, 50), rng.uniform(0.5, 2, 50)
    counted = aggregate({"y": y, "x": x}, frequencies=f)
    assert counted.covariance_matrix(["y", "x"]) == pytest.approx(np.cov(y, x, fweights=f), rel=EXACT)
    assert float(counted.n) == pytest.approx(float(f.sum()))
    both = aggregate({"y": y, "x": x}, frequencies=f, weights=w)
    assert both.covariance_matrix(["y", "x"]) == pytest.approx(np.cov(y, x, fweights=f, aweights=w), rel=EXACT)
    weighted = aggregate({"y": y}, weights=w)
    assert float(weighted.mean()) == pytest.approx(float(np.average(y, weights=w)), rel=EXACT)
    assert float(weighted.n) == pytest.approx(w.sum() ** 2 / (w**2).sum(), rel=EXACT)


def test_total__axes_of_segments_and_days__equal_to_grouping_by_arm() -> None:
    rng = np.random.default_rng(4)
    y = rng.normal(size=600)
    arm, segment, day = (rng.integers(0, k, 600) for k in (2, 3, 5))
    flat = aggregate({"y": y}, groups=(arm * 3 + segment) * 5 + day, n_groups=30, shift=0.25)
    cells = flat.reshape((2, 3, 5))
    whole = aggregate({"y": y}, groups=arm, n_groups=2, shift=0.25)
    for total in (cells.total((1, 2)), cells.total(-1).total(1)):
        assert total.mean() == pytest.approx(whole.mean(), rel=EXACT)
        assert total.variance() == pytest.approx(whole.variance(), rel=EXACT)
    running = cells.cumulative(2)
    assert running[:, :, -1].sums == pytest.approx(cells.total(2).sums, rel=EXACT, abs=1e-13)
    assert running[:, :, 0].count.tolist() == cells[:, :, 0].count.tolist()


def test_total__shift_per_cell__merges_equal_shifts_only() -> None:
    cells = from_sums(
        ["y"],
        count=np.ones((2, 3)),
        sums=[np.zeros((2, 3))],
        products={("y", "y"): np.zeros((2, 3))},
        shift=np.array([[[1.0]], [[2.0]]]),
    )
    assert cells.total(1).mean().tolist() == [1.0, 2.0]
    assert cells[1].mean().tolist() == [2.0, 2.0, 2.0]
    with pytest.raises(ValueError, match="frozen"):
        cells.total(0)
    with pytest.raises(ValueError, match="cannot be reshaped"):
        cells.reshape((6,))


@settings(max_examples=40, deadline=None)
@given(st.lists(FINITE, min_size=2, max_size=30), FINITE)
def test_reshift__another_shift__same_moments(values: list[float], shift: float) -> None:
    cells = aggregate({"y": values})
    moved = cells.reshift(shift)
    scale = 1 + max(abs(v) for v in values) + abs(shift)
    assert float(moved.mean()) == pytest.approx(float(cells.mean()), rel=1e-9, abs=1e-12 * scale)
    assert float(moved.variance()) == pytest.approx(float(cells.variance()), rel=1e-6, abs=1e-11 * scale**2)


def test_select__columns_by_name_and_place__same_moments() -> None:
    cells = aggregate({"y": [1.0, 2.0, 4.0], "x": [0.0, 5.0, 1.0]}, shift=[1.0, 2.0])
    swapped = cells.select(["x", 0])
    assert swapped.columns == ("x", "y")
    assert float(swapped.covariance(0, 1)) == float(cells.covariance("y", "x"))
    assert float(swapped.mean("y")) == float(cells.mean(0))


def test_from_sums__missing_product__undefined_only_where_used() -> None:
    cells = from_sums(["y", "x"], count=3, sums=[6.0, 3.0], products={("y", "y"): 14.0, ("x", "x"): 5.0})
    assert float(cells.variance("y")) == pytest.approx(1.0)
    assert np.isnan(cells.covariance("y", "x"))


def test_from_sums__weights__kept() -> None:
    cells = from_sums(["y"], count=2, sums=[3.0], products={("y", "y"): 5.0}, weight=2.0, weight_squares=2.5)
    assert float(cells.n) == pytest.approx(1.6)


def test_empty_cell__no_unit__mean_and_variance_undefined() -> None:
    cells = aggregate({"y": []}, groups=[], n_groups=2)
    assert cells.n.tolist() == [0.0, 0.0]
    assert np.isnan(cells.mean()).all()
    assert np.isnan(cells.variance()).all()
    assert aggregate({"y": []}).count == 0
    assert choose_shift([]) == 0.0
    assert choose_shift([np.nan, np.inf]) == 0.0


def test_aggregate__bad_input__value_error() -> None:
    with pytest.raises(ValueError, match="one length"):
        aggregate({"y": [1.0], "x": [1.0, 2.0]})
    with pytest.raises(ValueError, match="one length"):
        aggregate({})
    with pytest.raises(ValueError, match="finite"):
        aggregate({"y": [1.0, np.nan]})
    with pytest.raises(ValueError, match="one entry per unit"):
        aggregate({"y": [1.0]}, groups=[0, 1])
    with pytest.raises(ValueError, match="groups must lie"):
        aggregate({"y": [1.0]}, groups=[3], n_groups=2)
    with pytest.raises(ValueError, match="groups must lie"):
        aggregate({"y": [1.0]}, groups=[-1])
    with pytest.raises(ValueError, match="weights"):
        aggregate({"y": [1.0]}, weights=[-1.0])
    with pytest.raises(ValueError, match="frequencies"):
        aggregate({"y": [1.0]}, frequencies=[1.0, 2.0])


def test_aggregates__wrong_use__value_error() -> None:
    cells = aggregate({"y": [1.0, 2.0]})
    with pytest.raises(ValueError, match="columns must be equal"):
        cells.merge(aggregate({"x": [1.0]}))
    with pytest.raises(ValueError, match="frozen"):
        cells.merge(aggregate({"y": [1.0]}, shift=1.0))
    with pytest.raises(ValueError, match="no column"):
        cells.mean("z")
    with pytest.raises(ValueError, match="shapes"):
        Aggregates(("y",), np.zeros(1), np.zeros(2), np.zeros(2), np.zeros(2), np.zeros((1, 1)), np.zeros((1, 1, 1)))
    with pytest.raises(ValueError, match="one entry per column"):
        from_sums(["y"], count=1, sums=[], products={})
    with pytest.raises(ValueError, match="unknown column"):
        from_sums(["y"], count=1, sums=[1.0], products={("y", "z"): 1.0})
