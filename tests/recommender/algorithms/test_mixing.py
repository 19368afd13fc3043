"""Hybrids by hand: weights, ranks, cascade, switching, and weights learned from data."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.algorithms import mixing
from recommender.algorithms.base import NO_SCORE, Profile, rows_of, top_k
from recommender.algorithms.blend import Blend
from recommender.algorithms.learned import LearnedBlend, logistic
from tests.recommender.algorithms.conftest import world

NONE = np.empty(0, dtype=np.int32)
FIRST = np.array([4.0, 2.0, 1.0, NO_SCORE], dtype=np.float32)
SECOND = np.array([NO_SCORE, 1.0, 5.0, 5.0], dtype=np.float32)


def _rng() -> np.random.Generator:
    return np.random.default_rng(1)


def test_weighted__two_members__sum_on_a_common_scale() -> None:
    found = mixing.weighted([FIRST, SECOND], [0.5, 0.5], NONE)
    np.testing.assert_allclose(found, [0.5, 0.25 + 0.1, 0.125 + 0.5, 0.5])


def test_common_scale__the_best_is_the_persons_own__the_next_sets_it() -> None:
    np.testing.assert_allclose(mixing.on_common_scale(FIRST[:3], np.array([0], dtype=np.int32)), [2.0, 1.0, 0.5])
    assert np.isneginf(mixing.on_common_scale(-np.ones(3, dtype=np.float32), NONE)).all()


def test_reciprocal_rank__two_members__by_hand() -> None:
    found = mixing.reciprocal_rank([FIRST, SECOND], [1.0, 2.0], NONE)
    np.testing.assert_allclose(found, [1 / 61, 1 / 62 + 2 / 63, 1 / 63 + 2 / 61, 2 / 62], rtol=1e-6)
    had = mixing.reciprocal_rank([FIRST], [1.0], np.array([0], dtype=np.int32))
    np.testing.assert_allclose(had[1:3], [1 / 61, 1 / 62], rtol=1e-6)
    assert had[0] == NO_SCORE


def test_cascade__second_member__orders_the_shortlist_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixing, "SHORTLIST", 2)
    found = mixing.cascade([FIRST, np.array([0.1, 9.0, 99.0, 9.0], dtype=np.float32)], [2.0, 1.0], NONE)
    assert top_k(found, 4).tolist() == [1, 0, 2]
    np.testing.assert_allclose(mixing.cascade([FIRST], [1.0], NONE)[:3], [1.0, 0.5, 0.25])


def test_switching__length_of_history__chooses_the_member() -> None:
    silent = np.full(4, NO_SCORE, dtype=np.float32)
    np.testing.assert_allclose(mixing.switching([FIRST, SECOND], [0, 3], 2, NONE)[:2], [1.0, 0.5])
    assert top_k(mixing.switching([FIRST, SECOND], [0, 3], 3, NONE), 1).tolist() == [2]
    assert top_k(mixing.switching([FIRST, silent], [0, 3], 3, NONE), 1).tolist() == [0]
    assert np.isneginf(mixing.switching([FIRST], [1], 0, NONE)).all()


@pytest.mark.parametrize("method", mixing.METHODS)
def test_blend__each_method__block_equals_single_and_tastes_lead(method: str) -> None:
    dataset = world()
    algorithm = Blend({"method": method, "from.ease": 3.0, "weight.popularity": 0.1})
    arrays = algorithm.fit(dataset, rng=_rng())
    profiles = dataset.profiles()
    block = algorithm.score_block(arrays, profiles)
    right = 0
    for row, profile in enumerate(rows_of(profiles)):
        np.testing.assert_allclose(block[row], algorithm.score(arrays, profile), rtol=1e-4)
        scores = block[row].copy()
        scores[profile.items] = NO_SCORE
        right += dataset.item_ids[top_k(scores, 1)][0].startswith(f"g{int(dataset.user_ids[row][1:]) % 3}")
    assert right > 0.8 * dataset.n_users


def test_blend__switching_and_nobody__popularity_from_no_event_on() -> None:
    dataset = world()
    algorithm = Blend({"method": "switching", "weight.popularity": 0.1})
    nobody = Profile(NONE, np.empty(0, dtype=np.float32))
    scores = algorithm.score(algorithm.fit(dataset, rng=_rng()), nobody)
    assert dataset.item_ids[top_k(scores, 1)].tolist() == ["all"]


def test_blend__a_prior__draws_short_histories_to_popularity() -> None:
    dataset = world()
    algorithm = Blend({"prior": 1000.0})
    arrays = algorithm.fit(dataset, rng=_rng())
    one = Profile(np.array([0], dtype=np.int32), np.ones(1, dtype=np.float32))
    assert dataset.item_ids[top_k(algorithm.score(arrays, one), 1)].tolist() == ["all"]
    with pytest.raises(ValueError, match="method must be one of"):
        Blend({"method": "magic"})


def test_logistic__one_telling_and_one_idle_input__weights_say_so() -> None:
    rng = _rng()
    inputs = rng.random((4_000, 3))
    chosen = rng.random(4_000) < 1 / (1 + np.exp(-(4 * inputs[:, 0] + 2 * inputs[:, 1] - 4 - 3 * inputs[:, 2])))
    weights = logistic(inputs, chosen)
    assert weights.sum() == pytest.approx(1.0)
    assert weights[0] == pytest.approx(2 / 3, abs=0.08)
    assert weights[2] == 0.0
    np.testing.assert_allclose(logistic(inputs[:, 2:], inputs[:, 2] < 0.1), [1.0])


def test_learned__tastes__popularity_gets_little_and_the_rest_is_kept() -> None:
    dataset = world(users=120)
    algorithm = LearnedBlend()
    arrays = algorithm.fit(dataset, rng=_rng())
    weights = dict(zip([member.algorithm.key for member in algorithm.members], arrays["learned"], strict=True))
    assert sum(weights.values()) == pytest.approx(1.0)
    assert weights["popularity"] < max(weights.values())


def test_learned__nobody_with_five_events__equal_weights() -> None:
    dataset = world()
    few = dataset.take(np.flatnonzero(np.arange(dataset.n_interactions) % 6 < 2))
    assert LearnedBlend().fit(few, rng=_rng())["learned"].tolist() == [1.0, 1.0, 1.0, 1.0]
