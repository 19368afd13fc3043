from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.algorithms.base import NO_SCORE, Arrays, Profile, rows_of
from recommender.algorithms.user_knn import UserKNN
from recommender.dataset import Dataset, DatasetBuilder

RATINGS = {
    "ann": {"a": 5.0, "b": 3.0, "c": 4.0},
    "bob": {"a": 4.0, "b": 2.0, "c": 5.0, "d": 5.0},
    "cid": {"a": 1.0, "b": 5.0, "d": 1.0},
    "dan": {"a": 3.0, "b": 3.0, "e": 5.0},
}


def _dataset(ratings: dict[str, dict[str, float]]) -> Dataset:
    rows = [(user, item, value) for user, liked in ratings.items() for item, value in liked.items()]
    builder = DatasetBuilder(explicit=True)
    builder.add(
        user_id=np.array([row[0] for row in rows]),
        item_id=np.array([row[1] for row in rows]),
        weight=np.array([row[2] for row in rows], dtype=np.float32),
        at=np.arange(len(rows), dtype=np.int64),
    )
    return builder.build()


def _textbook(one: dict[str, float], other: dict[str, float], *, shrinkage: float, min_overlap: int) -> float:
    """Pearson as the issue writes it, person by person."""
    both = sorted(set(one) & set(other))
    if len(both) < max(1, min_overlap):
        return 0.0
    mean_one = sum(one[item] for item in both) / len(both)
    mean_other = sum(other[item] for item in both) / len(both)
    top = sum((one[item] - mean_one) * (other[item] - mean_other) for item in both)
    bottom = math.sqrt(sum((one[item] - mean_one) ** 2 for item in both)) * math.sqrt(
        sum((other[item] - mean_other) ** 2 for item in both)
    )
    if bottom < 1e-9:
        return 0.0
    return max(0.0, top / bottom * len(both) / (len(both) + shrinkage))


def _fit(ratings: dict[str, dict[str, float]], **parameters: float | str) -> tuple[UserKNN, Dataset, Arrays]:
    algorithm, dataset = UserKNN(parameters), _dataset(ratings)
    return algorithm, dataset, algorithm.fit(dataset, rng=np.random.default_rng(0))


def test_similarity__four_people__by_hand() -> None:
    algorithm, dataset, arrays = _fit(RATINGS, shrinkage=0.0, min_overlap=2)
    values = algorithm.similarities(arrays, dataset.matrix())
    ann, bob, cid, dan = range(4)
    # ann and bob share a, b, c: deviations (1, -1, 0) and (1/3, -5/3, 4/3), both means over those three
    assert values[ann, bob] == pytest.approx(2 / (math.sqrt(2) * math.sqrt(42 / 9)))
    assert values[ann, cid] == 0.0  # they disagree
    assert values[ann, dan] == 0.0  # dan's common ratings are equal: undefined


def test_shrinkage__n_over_n_plus_beta() -> None:
    plain, dataset, arrays = _fit(RATINGS, shrinkage=0.0)
    shrunk = UserKNN({"shrinkage": 9.0})
    ratio = shrunk.similarities(arrays, dataset.matrix())[0, 1] / plain.similarities(arrays, dataset.matrix())[0, 1]
    assert ratio == pytest.approx(3 / (3 + 9))


def test_min_overlap__fewer_common_items__no_similarity() -> None:
    algorithm, dataset, arrays = _fit(RATINGS, shrinkage=0.0, min_overlap=4)
    assert algorithm.similarities(arrays, dataset.matrix())[0, 1] == 0.0


def test_predict__one_neighbour__mean_plus_their_deviation_over_all_their_ratings() -> None:
    algorithm, dataset, arrays = _fit(RATINGS, shrinkage=0.0)
    ann = rows_of(dataset.matrix())[0]
    index = {name: place for place, name in enumerate(dataset.item_ids.tolist())}
    # only bob is similar; ann's mean is 4, bob's mean over all four ratings is 4, he gave d a 5
    assert algorithm.predict(arrays, ann, index["d"]) == pytest.approx(4 + (5 - 4))
    assert algorithm.predict(arrays, ann, index["e"]) is None


@pytest.mark.parametrize("ranking", ["support", "centred", "predicted"])
def test_score__rankings__by_hand(ranking: str) -> None:
    algorithm, dataset, arrays = _fit(RATINGS, shrinkage=0.0, ranking=ranking)
    ann = rows_of(dataset.matrix())[0]
    similarity = algorithm.similarities(arrays, dataset.matrix())[0, 1]
    index = {name: place for place, name in enumerate(dataset.item_ids.tolist())}
    expected = {"support": similarity, "centred": similarity * 1.0, "predicted": 5.0}[ranking]
    scores = algorithm.score(arrays, ann)
    assert scores[index["d"]] == pytest.approx(expected)
    assert scores[index["e"]] == NO_SCORE


def test_support__neighbour_disliked_the_item__no_support() -> None:
    ratings = {"ann": {"a": 5.0, "b": 1.0}, "bob": {"a": 5.0, "b": 1.0, "c": 2.0}}
    algorithm, dataset, arrays = _fit(ratings, shrinkage=0.0)
    assert algorithm.score(arrays, rows_of(dataset.matrix())[0])[2] == NO_SCORE


def test_cosine__implicit_counts__by_hand() -> None:
    ratings = {"ann": {"a": 1.0, "b": 1.0}, "bob": {"a": 1.0, "c": 1.0, "d": 1.0}}
    algorithm, dataset, arrays = _fit(ratings, similarity="cosine", shrinkage=0.0, min_overlap=1)
    assert algorithm.similarities(arrays, dataset.matrix())[0, 1] == pytest.approx(1 / math.sqrt(6))


def test_neighbours__people_with_nothing_new__take_no_place() -> None:
    ratings = {
        "ann": {"a": 5.0, "b": 1.0, "c": 3.0},
        "twin": {"a": 5.0, "b": 1.0, "c": 3.0},
        "bob": {"a": 5.0, "b": 1.0, "c": 4.0, "d": 5.0},
    }
    algorithm, dataset, arrays = _fit(ratings, shrinkage=0.0, neighbours=1)
    scores = algorithm.score(arrays, rows_of(dataset.matrix())[0])
    assert scores[dataset.item_ids.tolist().index("d")] > 0


@settings(max_examples=60, deadline=None)
@given(
    ratings=st.dictionaries(
        st.sampled_from([f"u{number}" for number in range(8)]),
        st.dictionaries(
            st.sampled_from("abcdefgh"), st.integers(1, 10).map(lambda half: half / 2), min_size=1, max_size=8
        ),
        min_size=2,
        max_size=8,
    ),
    shrinkage=st.sampled_from([0.0, 5.0, 100.0]),
    min_overlap=st.integers(0, 3),
)
def test_similarity__any_ratings__equals_the_textbook_loop(
    ratings: dict[str, dict[str, float]], shrinkage: float, min_overlap: int
) -> None:
    algorithm, dataset, arrays = _fit(ratings, shrinkage=shrinkage, min_overlap=min_overlap)
    values = algorithm.similarities(arrays, dataset.matrix())
    for row, one in enumerate(dataset.user_ids.tolist()):
        for column, other in enumerate(dataset.user_ids.tolist()):
            expected = _textbook(ratings[one], ratings[other], shrinkage=shrinkage, min_overlap=min_overlap)
            assert values[row, column] == pytest.approx(expected, abs=1e-6)
    assert np.isfinite(values).all()


def test_score__single_and_block__same_neighbours_for_all(rated_world: Dataset) -> None:
    algorithm = UserKNN({"neighbours": 5, "shrinkage": 10.0})
    arrays = algorithm.fit(rated_world, rng=np.random.default_rng(0))
    profiles = rated_world.matrix()
    block = algorithm.score_block(arrays, profiles)
    for row, profile in enumerate(rows_of(profiles)):
        np.testing.assert_allclose(block[row], algorithm.score(arrays, profile), rtol=1e-6)


def test_score_block__blocks_smaller_than_the_people__same(
    rated_world: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    algorithm = UserKNN()
    arrays = algorithm.fit(rated_world, rng=np.random.default_rng(0))
    whole = algorithm.score_block(arrays, rated_world.matrix())
    monkeypatch.setattr("recommender.algorithms.user_knn.BLOCK_CELLS", 200)
    np.testing.assert_array_equal(algorithm.score_block(arrays, rated_world.matrix()), whole)


def test_score_block__empty_row__no_score(rated_world: Dataset) -> None:
    algorithm = UserKNN()
    arrays = algorithm.fit(rated_world, rng=np.random.default_rng(0))
    empty = rated_world.take(np.zeros(rated_world.n_interactions, dtype=bool)).matrix()[:1]
    assert np.isneginf(algorithm.score_block(arrays, empty)).all()
    nobody = Profile(np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32))
    assert np.isneginf(algorithm.score(arrays, nobody)).all()
