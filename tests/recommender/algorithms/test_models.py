"""EASE, ALS, next choice and the blend: by hand, against peers, at their edges."""

from __future__ import annotations

import numpy as np
import pytest
from implicit.cpu.als import AlternatingLeastSquares
from threadpoolctl import threadpool_limits

from recommender.algorithms.als import Als
from recommender.algorithms.base import NO_SCORE, Profile, rows_of, top_k
from recommender.algorithms.blend import Blend
from recommender.algorithms.ease import Ease, most_chosen
from recommender.algorithms.next_choice import NextChoice
from recommender.algorithms.popularity import Popularity
from recommender.algorithms.sequence import NextInSequence
from recommender.dataset import Dataset, DatasetBuilder
from tests.recommender.algorithms.conftest import world


def _rng() -> np.random.Generator:
    return np.random.default_rng(1)


def _nobody() -> Profile:
    return Profile(np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32))


def test_ease__small_world__equals_the_closed_form(implicit_world: Dataset) -> None:
    arrays = Ease({"regularization": 5.0}).fit(implicit_world, rng=_rng())
    matrix = implicit_world.matrix().toarray().astype(np.float64)[:, arrays["head"]]
    inverse = np.linalg.inv(matrix.T @ matrix + 5.0 * np.eye(matrix.shape[1]))
    expected = -inverse / np.diag(inverse)[None, :]
    np.fill_diagonal(expected, 0.0)
    np.testing.assert_allclose(arrays["weights"], expected, atol=1e-4)


def test_ease__more_items_than_allowed__rare_ones_get_no_score(implicit_world: Dataset) -> None:
    algorithm = Ease({"max_items": 5})
    arrays = algorithm.fit(implicit_world, rng=_rng())
    assert arrays["weights"].shape == (5, 5)
    profiles = rows_of(implicit_world.matrix())
    assert (algorithm.score(arrays, profiles[0]) > NO_SCORE).sum() == 5
    outside = np.setdiff1d(np.arange(implicit_world.n_items), arrays["head"])
    stranger = Profile(outside[:2].astype(np.int32), np.ones(2, dtype=np.float32))
    assert np.isneginf(algorithm.score(arrays, stranger)).all()
    assert algorithm.explain(arrays, profiles[0], int(outside[0])) == ()


def test_ease__binary__weights_of_events_do_not_matter() -> None:
    dataset = world()
    algorithm = Ease({"binary": True})
    arrays = algorithm.fit(dataset, rng=_rng())
    profile = rows_of(dataset.matrix())[0]
    ones = Profile(profile.items, np.ones_like(profile.weights))
    np.testing.assert_array_equal(algorithm.score(arrays, profile), algorithm.score(arrays, ones))
    block = algorithm.score_block(arrays, dataset.matrix()[:1])
    np.testing.assert_allclose(block[0], algorithm.score(arrays, ones), rtol=1e-5)
    assert np.isfinite(arrays["weights"]).all()


def test_ease__singular_gram__refused(implicit_world: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scipy.linalg.lapack.spotrf", lambda gram, **_: (gram, 1))
    with pytest.raises(ValueError, match="ease: the Gram matrix is singular"):
        Ease().fit(implicit_world, rng=_rng())


def test_most_chosen__ties__lower_index_first_and_cold_never(implicit_world: Dataset) -> None:
    head = most_chosen(implicit_world.matrix(), 1_000)
    names = implicit_world.item_ids[head].tolist()
    assert "cold" not in names
    assert implicit_world.item_ids[most_chosen(implicit_world.matrix(), 1)].tolist() == ["all"]


@pytest.mark.parametrize("alpha", [1.0, 7.0])
def test_als__fold_in__equals_the_library(alpha: float) -> None:
    dataset = world(users=90)
    algorithm = Als({"factors": 8, "regularization": 0.5, "alpha": alpha, "iterations": 5})
    arrays = algorithm.fit(dataset, rng=_rng())
    with threadpool_limits(1, "blas"):
        peer = AlternatingLeastSquares(
            factors=8, regularization=0.5, alpha=alpha, iterations=5, num_threads=1,
            random_state=int(_rng().integers(2**31)),
        )  # fmt: skip
        peer.fit(dataset.matrix(), show_progress=False)
        expected = peer.recalculate_user(np.arange(20), dataset.matrix()[:20]) @ peer.item_factors.T
    found = algorithm.score_block(arrays, dataset.matrix()[:20])
    known = found > NO_SCORE
    np.testing.assert_allclose(found[known], expected[known], rtol=2e-3, atol=2e-4)


def test_als__contributions__add_up_to_the_score(implicit_world: Dataset) -> None:
    algorithm = Als({"factors": 8, "alpha": 3.0})
    arrays = algorithm.fit(implicit_world, rng=_rng())
    profile = rows_of(implicit_world.matrix())[0]
    scores = algorithm.score(arrays, profile)
    best = int(top_k(scores, 1)[0])
    anchors = algorithm.explain(arrays, profile, best)
    if len(anchors) == profile.items.size:
        assert sum(anchor.contribution for anchor in anchors) == pytest.approx(float(scores[best]), rel=1e-3)
    assert sum(anchor.contribution for anchor in anchors) >= float(scores[best]) * 0.999
    assert algorithm.explain(arrays, _nobody(), best) == ()


def test_next_choice__probabilities__sum_to_one_over_items_not_had(implicit_world: Dataset) -> None:
    algorithm = NextChoice({"epochs": 2})
    arrays = algorithm.fit(implicit_world, rng=_rng())
    profile = rows_of(implicit_world.matrix())[0]
    scores = algorithm.score(arrays, profile)
    assert scores[scores > NO_SCORE].sum() == pytest.approx(1.0, rel=1e-5)
    assert np.isneginf(scores[profile.items]).all()


def test_next_choice__everything_had__no_score_and_no_warning(implicit_world: Dataset) -> None:
    algorithm = NextChoice({"epochs": 1})
    arrays = algorithm.fit(implicit_world, rng=_rng())
    n = implicit_world.n_items
    everything = Profile(np.arange(n, dtype=np.int32), np.ones(n, dtype=np.float32))
    assert np.isneginf(algorithm.score(arrays, everything)).all()
    cold = int(np.flatnonzero(implicit_world.item_ids == "cold")[0])
    assert algorithm.explain(arrays, everything, cold) == ()


def test_next_choice__more_epochs__likelier_answers(implicit_world: Dataset) -> None:
    profiles = rows_of(implicit_world.matrix())

    def likelihood(epochs: int) -> float:
        algorithm = NextChoice({"epochs": epochs})
        arrays = algorithm.fit(implicit_world, rng=_rng())
        total = 0.0
        for profile in profiles:
            question = Profile(profile.items[1:], profile.weights[1:])
            total += float(np.log(algorithm.score(arrays, question)[profile.items[0]]))
        return total

    assert likelihood(20) > likelihood(1) + 10


def test_blend__weights__scale_each_member_by_its_best_new_item(implicit_world: Dataset) -> None:
    off = {"weight.item-knn": 0.0, "weight.content": 0.0}
    both = Blend({**off, "weight.ease": 0.6, "weight.popularity": 0.4})
    arrays = both.fit(implicit_world, rng=_rng())
    profile = rows_of(implicit_world.matrix())[0]
    new = np.setdiff1d(np.arange(implicit_world.n_items), profile.items)
    parts = []
    for algorithm, weight in ((Ease(), 0.6), (Popularity(), 0.4)):
        scores = algorithm.score(algorithm.fit(implicit_world, rng=_rng()), profile)
        parts.append(np.where(scores > NO_SCORE, weight * scores / scores[new].max(), 0.0))
    np.testing.assert_allclose(both.score(arrays, profile), parts[0] + parts[1], rtol=1e-4, atol=1e-6)


def test_blend__member_cannot_learn__left_out_and_all_cannot__refused(implicit_world: Dataset) -> None:
    plain = Dataset(
        user_ids=implicit_world.user_ids, item_ids=implicit_world.item_ids, users=implicit_world.users,
        items=implicit_world.items, weights=implicit_world.weights, at=implicit_world.at,
    )  # fmt: skip
    arrays = Blend().fit(plain, rng=_rng())
    assert not any(name.startswith("content/") for name in arrays)
    assert any(name.startswith("ease/") for name in arrays)
    only = {"weight.ease": 0.0, "weight.item-knn": 0.0}
    with pytest.raises(ValueError, match="blend: no member can be trained: content"):
        Blend(only).fit(plain, rng=_rng())


def test_blend__no_weight__refused() -> None:
    with pytest.raises(ValueError, match="at least one weight"):
        Blend({"weight.ease": 0.0, "weight.item-knn": 0.0, "weight.content": 0.0})


def test_blend__ratings__members_get_likes_or_ratings_as_they_learnt(rated_world: Dataset) -> None:
    blend = Blend({"weight.user-knn": 0.5, "user-knn.shrinkage": 0.0})
    assert blend.uses_ratings
    arrays = blend.fit(rated_world, rng=_rng())
    profiles = rated_world.matrix()
    block = blend.score_block(arrays, profiles)
    for row, profile in enumerate(rows_of(profiles)):
        np.testing.assert_allclose(block[row], blend.score(arrays, profile), rtol=2e-4, atol=2e-5)


def test_blend__member_that_says_nothing__adds_nothing(implicit_world: Dataset) -> None:
    blend = Blend({"weight.content": 0.0, "weight.item-knn": 0.0})
    arrays = blend.fit(implicit_world, rng=_rng())
    cold = int(np.flatnonzero(implicit_world.item_ids == "cold")[0])
    stranger = Profile(np.array([cold], dtype=np.int32), np.ones(1, dtype=np.float32))
    assert np.isneginf(blend.score(arrays, stranger)).all()
    assert blend.explain(arrays, stranger, 0) == ()


def _chain(users: int, *order: str) -> Dataset:
    builder = DatasetBuilder()
    for user in range(users):
        builder.add(
            user_id=np.array([f"u{user}"] * len(order)),
            item_id=np.array(order),
            weight=np.ones(len(order), dtype=np.float32),
            at=np.arange(len(order), dtype=np.int64),
        )
    return builder.build()


def test_sequence__a_chain__steps_count_their_inverse_distance() -> None:
    dataset = _chain(4, "a", "b", "c")
    algorithm = NextInSequence({"window": 2, "shrinkage": 0.0, "memory": 1.0})
    arrays = algorithm.fit(dataset, rng=_rng())
    only_a = Profile(np.array([0], dtype=np.int32), np.ones(1, dtype=np.float32))
    # four people: a → b four times at distance 1, a → c four times at distance 2, all counts 4
    assert algorithm.score(arrays, only_a).tolist() == pytest.approx([-np.inf, 1.0, 0.5], rel=1e-3)
    a_then_b = Profile(np.array([0, 1], dtype=np.int32), np.ones(2, dtype=np.float32))
    assert algorithm.score(arrays, a_then_b)[2] == pytest.approx(1.0 + 0.5 * np.exp(-1), rel=1e-3)
    b_then_a = Profile(np.array([1, 0], dtype=np.int32), np.ones(2, dtype=np.float32))
    assert algorithm.score(arrays, b_then_a)[2] == pytest.approx(0.5 + np.exp(-1), rel=1e-3)


def test_sequence__direction__what_came_before_is_not_next() -> None:
    dataset = _chain(4, "a", "b")
    algorithm = NextInSequence()
    arrays = algorithm.fit(dataset, rng=_rng())
    only_b = Profile(np.array([1], dtype=np.int32), np.ones(1, dtype=np.float32))
    assert np.isneginf(algorithm.score(arrays, only_b)).all()


@pytest.mark.parametrize("parameters", [{"window": 0}, {"memory": 0.0}])
def test_sequence__no_window_or_memory__refused(parameters: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="sequence: window"):
        NextInSequence(parameters)
