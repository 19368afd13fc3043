"""One suite that every registered algorithm passes, plug-ins included."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from recommender.algorithms.base import NO_SCORE, Algorithm, Arrays, Profile, rows_of, top_k, top_k_rows
from recommender.dataset import Dataset
from recommender.registry import algorithms
from tests.recommender.algorithms.conftest import extra_of, social_world, taste_of, world

if TYPE_CHECKING:
    from recommender.dataset import Csr

pytestmark = pytest.mark.parametrize("key", [pytest.param(key, marks=extra_of(key)) for key in sorted(algorithms())])


def _fitted(key: str, dataset: Dataset) -> tuple[Algorithm, Arrays]:
    algorithm = algorithms()[key]()
    return algorithm, algorithm.fit(dataset, rng=np.random.default_rng(1))


def _world(key: str, *, explicit: bool = False) -> Dataset:
    return social_world() if algorithms()[key].capabilities.people else world(explicit=explicit)


def _profiles(algorithm: Algorithm, dataset: Dataset) -> Csr:
    seen = dataset if algorithm.uses_ratings else dataset.positives()
    return seen.matrix()


@pytest.mark.parametrize("explicit", [False, True])
def test_scores__any_profile__one_finite_or_missing_float_per_item(key: str, explicit: bool) -> None:
    dataset = _world(key, explicit=explicit)
    algorithm, arrays = _fitted(key, dataset)
    for profile in rows_of(_profiles(algorithm, dataset)):
        scores = algorithm.score(arrays, profile)
        assert scores.shape == (dataset.n_items,)
        assert scores.dtype == np.float32
        assert not np.isnan(scores).any()
        assert not np.isposinf(scores).any()


def test_score_block__many_profiles__equals_score_of_each(key: str) -> None:
    rated_world = _world(key, explicit=True)
    algorithm, arrays = _fitted(key, rated_world)
    profiles = _profiles(algorithm, rated_world)
    block = algorithm.score_block(arrays, profiles)
    single = np.stack([algorithm.score(arrays, profile) for profile in rows_of(profiles)])
    np.testing.assert_array_equal(np.isneginf(block), np.isneginf(single))
    np.testing.assert_allclose(block, single, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("k", [1, 4, 40])
def test_rank_block__unseen_items__are_the_top_of_the_scores(key: str, k: int) -> None:
    rated_world = _world(key, explicit=True)
    algorithm, arrays = _fitted(key, rated_world)
    profiles, seen = _profiles(algorithm, rated_world), rated_world.matrix()
    scores = np.array(algorithm.score_block(arrays, profiles))
    scores[np.repeat(np.arange(seen.shape[0]), np.diff(seen.indptr)), seen.indices] = NO_SCORE
    np.testing.assert_array_equal(algorithm.rank_block(arrays, profiles, seen, k), top_k_rows(scores, k))


def test_fit__same_seed__same_arrays_to_the_bit(key: str) -> None:
    implicit_world = _world(key)
    _, first = _fitted(key, implicit_world)
    _, second = _fitted(key, _world(key))
    assert first.keys() == second.keys()
    for name, array in first.items():
        assert array.dtype != object
        np.testing.assert_array_equal(array, second[name])


def test_fit__no_interaction__refused_unless_it_can_do_without(key: str) -> None:
    implicit_world = _world(key)
    empty = implicit_world.take(np.zeros(implicit_world.n_interactions, dtype=bool))
    algorithm = algorithms()[key]()
    if not algorithm.capabilities.needs_interactions:
        assert algorithm.fit(empty, rng=np.random.default_rng(1))
    else:
        with pytest.raises(ValueError, match=f"{key}: the data set has no interaction"):
            algorithm.fit(empty, rng=np.random.default_rng(1))


def test_scores__empty_profile__no_item_unless_the_algorithm_needs_no_person(key: str) -> None:
    implicit_world = _world(key)
    algorithm, arrays = _fitted(key, implicit_world)
    empty = Profile(np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32))
    scores = algorithm.score(arrays, empty)
    assert (top_k(scores, 5).size == 0) == algorithm.capabilities.personalized


def test_scores__cold_item__only_if_the_algorithm_says_so(key: str) -> None:
    implicit_world = _world(key)
    algorithm, arrays = _fitted(key, implicit_world)
    cold = int(np.flatnonzero(implicit_world.item_ids == "cold")[0])
    profiles = rows_of(_profiles(algorithm, implicit_world))
    has_score = any(algorithm.score(arrays, profile)[cold] > NO_SCORE for profile in profiles)
    assert has_score == algorithm.capabilities.cold_items


def test_recommend__people_of_three_tastes__own_taste_leads(key: str) -> None:
    implicit_world = _world(key)
    algorithm, arrays = _fitted(key, implicit_world)
    if algorithm.capabilities.uniform:
        profiles = rows_of(_profiles(algorithm, implicit_world))
        firsts = {int(top_k(algorithm.score(arrays, profile), 1)[0]) for profile in profiles}
        assert len(firsts) > implicit_world.n_items / 2
        return
    if not algorithm.capabilities.personalized:
        empty = Profile(np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32))
        assert implicit_world.item_ids[top_k(algorithm.score(arrays, empty), 1)].tolist() == ["all"]
        return
    right = total = 0
    for user, profile in enumerate(rows_of(_profiles(algorithm, implicit_world))):
        scores = algorithm.score(arrays, profile).copy()
        if algorithm.capabilities.repeats:
            assert set(top_k(scores, 40).tolist()) == set(profile.items.tolist())
            continue
        scores[profile.items] = NO_SCORE
        best = implicit_world.item_ids[top_k(scores, 2)]
        right += sum(taste_of(name) == taste_of(str(implicit_world.user_ids[user])) for name in best)
        total += best.size
    if not algorithm.capabilities.repeats:
        assert total >= implicit_world.n_users
        assert right / total > 0.6


def test_explain__a_recommended_item__names_items_of_the_profile_that_add_to_it(key: str) -> None:
    implicit_world = _world(key)
    algorithm, arrays = _fitted(key, implicit_world)
    profile = rows_of(_profiles(algorithm, implicit_world))[0]
    best = int(top_k(algorithm.score(arrays, profile), 1)[0])
    anchors = algorithm.explain(arrays, profile, best)
    if not algorithm.capabilities.explains:
        assert anchors == ()
        return
    gains = [anchor.contribution for anchor in anchors]
    assert gains
    assert gains == sorted(gains, reverse=True)
    assert {anchor.item for anchor in anchors} <= set(profile.items.tolist())


def test_parameters__defaults__survive_json(key: str) -> None:
    algorithm = algorithms()[key]()
    again = algorithms()[key](json.loads(json.dumps(algorithm.parameters)))
    assert again.parameters == algorithm.parameters


def test_parameters__unknown_name__refused(key: str) -> None:
    with pytest.raises(ValueError, match=f"{key}: unknown parameter 'nonsense'"):
        algorithms()[key]({"nonsense": 1})
