"""By hand and against the definitions, pair by pair."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pytest

from recommender.dataset import to_csr
from recommender.evaluation.beyond import (
    activity_groups,
    bootstrap,
    calibration,
    category_codes,
    diversity,
    exposure_groups,
    lorenz,
    marks_matrix,
    popularity_lift,
)
from recommender.evaluation.ranking import gini

if TYPE_CHECKING:
    from recommender.dataset import Csr

TOKENS = [
    ["category=mugs", "tag=gift", "word=red"],
    ["category=mugs", "word=blue"],
    ["category=tents", "tag=gift"],
    [],
]


def _profiles(rows: list[list[int]], n_items: int = 4) -> Csr:
    users = np.array([user for user, items in enumerate(rows) for _ in items], dtype=np.int32)
    items = np.array([item for row in rows for item in row], dtype=np.int32)
    return to_csr(users, items, np.ones(items.size, dtype=np.float32), shape=(len(rows), n_items))


def test_bootstrap__normal_sample__interval_like_the_normal_one() -> None:
    values = np.random.default_rng(1).normal(2.0, 1.0, 400)
    found = bootstrap(values, rng=np.random.default_rng(2))
    half = 1.96 * values.std(ddof=1) / 20
    assert found.mean == pytest.approx(values.mean())
    assert found.lower == pytest.approx(values.mean() - half, abs=0.02)
    assert found.upper == pytest.approx(values.mean() + half, abs=0.02)
    with pytest.raises(ValueError, match="at least one"):
        bootstrap(np.empty(0), rng=np.random.default_rng(0))


def test_diversity__random_lists__equals_the_mean_over_pairs() -> None:
    rng = np.random.default_rng(3)
    marks = marks_matrix(TOKENS)
    lists = np.array([rng.choice(4, size=3, replace=False) for _ in range(6)], dtype=np.int32)
    lists[5, 1:] = -1  # one item only: no pair
    dense = marks.toarray()
    expected = [1 - np.mean([dense[a] @ dense[b] for a, b in combinations(row, 2)]) for row in lists[:5]]
    assert diversity(lists, marks) == pytest.approx(expected, abs=1e-6)


def test_popularity_lift__lists_twice_as_popular__one() -> None:
    known_by = np.array([10, 20, 5, 5])
    assert popularity_lift(np.array([[1]], dtype=np.int32), _profiles([[0]]), known_by=known_by) == pytest.approx(1.0)
    assert popularity_lift(np.array([[-1]], dtype=np.int32), _profiles([[0]]), known_by=known_by) is None


def test_calibration__same_shares__zero_and_one_category_missing__positive() -> None:
    categories, labels = category_codes(TOKENS)
    assert labels == ["mugs", "tents"]
    lists = np.array([[0, 2], [0, 1], [3, 3]], dtype=np.int32)
    found = calibration(lists, _profiles([[1, 2], [1, 2], [0]]), categories)
    assert found.size == 2  # the third list has no category
    assert found[0] == pytest.approx(0.0)
    # p = (½, ½), q̃ = (0.995, 0.005)
    assert found[1] == pytest.approx(0.5 * np.log(0.5 / 0.995) + 0.5 * np.log(0.5 / 0.005))


def test_exposure_groups__first_place_counts_more__shares_by_hand() -> None:
    categories, labels = category_codes(TOKENS)
    lists = np.array([[0, 2, -1]], dtype=np.int32)
    mugs, tents = exposure_groups(lists, categories, labels, known_by=np.array([3, 0, 1, 9]))
    second = 1 / np.log2(3)
    assert mugs.label == "mugs"
    assert mugs.exposure == pytest.approx(1 / (1 + second))
    assert mugs.catalogue == pytest.approx(2 / 3)
    assert mugs.choices == 0.75
    assert tents.exposure == pytest.approx(second / (1 + second))


def test_activity_groups__empty_ones__left_out() -> None:
    groups = activity_groups(np.array([1, 5, 40]))
    assert [(label, mask.tolist()) for label, mask in groups] == [
        ("1–5", [True, True, False]),
        ("21+", [False, False, True]),
    ]


def test_lorenz__any_counts__area_is_the_gini() -> None:
    counts = np.random.default_rng(5).integers(0, 50, 200)
    curve = np.array(lorenz(counts, points=200))
    area = float(((curve[1:] + curve[:-1]) / 2).mean())
    assert 1 - 2 * area == pytest.approx(gini(counts), abs=1e-9)
    assert lorenz(np.zeros(3, dtype=np.int64), points=2) == [0.0, 0.0, 0.0]
