from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from recommender.evaluation.ranking import Truth, accuracy, gini, paired, quality


def _truth(*wanted: list[int]) -> Truth:
    return Truth(
        start=np.cumsum([0, *(len(items) for items in wanted)]),
        items=np.array([item for items in wanted for item in items], dtype=np.int32),
    )


def test_accuracy__one_list__by_hand() -> None:
    people = accuracy(np.array([[3, 7, 1, 9]], dtype=np.int32), _truth([1, 3, 5]))
    ideal = 1 + 1 / math.log2(3) + 1 / math.log2(4)
    assert people.ndcg.tolist() == pytest.approx([(1 + 1 / math.log2(4)) / ideal])
    assert people.recall.tolist() == pytest.approx([2 / 3])
    assert people.precision.tolist() == [0.5]
    assert people.average_precision.tolist() == pytest.approx([(1 + 2 / 3) / 3])
    assert people.reciprocal_rank.tolist() == [1.0]
    assert people.hit.tolist() == [1.0]


def test_accuracy__no_hit_short_list_and_nobody_asked__zero_and_left_out() -> None:
    lists = np.array([[4, -1], [0, 1], [2, 3]], dtype=np.int32)
    people = accuracy(lists, _truth([1], [], [3]))
    assert people.hit.tolist() == [0.0, 1.0]
    assert people.reciprocal_rank.tolist() == [0.0, 0.5]
    assert people.ndcg[0] == 0.0


def test_ndcg__random_lists__equals_scikit_learn() -> None:
    rng = np.random.default_rng(11)
    for _ in range(20):
        order = rng.permutation(30).astype(np.int32)
        wanted = sorted(rng.choice(30, size=int(rng.integers(1, 15)), replace=False).tolist())
        relevance = np.zeros((1, 30))
        relevance[0, wanted] = 1
        scores = np.zeros((1, 30))
        scores[0, order] = np.arange(30, 0, -1)
        ours = accuracy(order[None, :10], _truth(wanted)).ndcg[0]
        assert ours == pytest.approx(ndcg_score(relevance, scores, k=10))


def test_quality__two_lists__coverage_novelty_and_gini_by_hand() -> None:
    lists = np.array([[0, 1], [0, -1]], dtype=np.int32)
    people = accuracy(lists, _truth([0], [1]))
    found = quality(lists, people, known_by=np.array([4, 2, 0, 0]), n_people=8)
    assert found.n == 2
    assert found.ndcg == 0.5
    assert found.ndcg_se == pytest.approx(0.5)
    assert found.hit_rate == found.mrr == found.map == found.recall == 0.5
    assert found.coverage == 0.5
    assert found.novelty == pytest.approx((1 + 1 + 2) / 3)
    assert found.gini == pytest.approx(gini([2, 1, 0, 0]))


def test_quality__nobody_with_a_wish__refused() -> None:
    people = accuracy(np.array([[0]], dtype=np.int32), _truth([]))
    with pytest.raises(ValueError, match="nothing to evaluate"):
        quality(np.array([[0]], dtype=np.int32), people, known_by=np.array([1]), n_people=1)


def test_quality__one_person_and_empty_lists__no_standard_error_and_no_novelty() -> None:
    lists = np.array([[-1]], dtype=np.int32)
    found = quality(lists, accuracy(lists, _truth([0])), known_by=np.array([1]), n_people=1)
    assert math.isnan(found.ndcg_se)
    assert found.novelty == found.gini == found.coverage == 0.0


def test_paired__noise_shared_by_both__interval_is_that_of_the_differences() -> None:
    rng = np.random.default_rng(5)
    base = rng.normal(size=4000)
    found = paired(base + rng.normal(0.1, 0.5, size=4000), base)
    assert found.lower < 0.1 < found.upper
    assert found.upper - found.lower == pytest.approx(2 * 1.96 * 0.5 / math.sqrt(4000), rel=0.05)


def test_paired__too_few_or_unequal__refused() -> None:
    for one, other in ((np.ones(1), np.ones(1)), (np.ones(2), np.ones(3))):
        with pytest.raises(ValueError, match="paired needs"):
            paired(one, other)


def test_gini__nothing_shown__zero() -> None:
    assert gini([0, 0]) == 0.0
