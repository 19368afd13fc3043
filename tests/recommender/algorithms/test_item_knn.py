from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from implicit.nearest_neighbours import BM25Recommender, CosineRecommender, ItemItemRecommender, TFIDFRecommender

from recommender.algorithms import neighbours
from recommender.algorithms.base import Profile, rows_of, top_k
from recommender.algorithms.item_knn import ItemKNN, centred_rows
from recommender.dataset import Dataset
from tests.recommender.algorithms.conftest import world

if TYPE_CHECKING:
    from recommender.algorithms.base import Arrays


def _dense(arrays: Arrays) -> np.ndarray[Any, np.dtype[np.float64]]:
    n = arrays["neighbour_start"].size - 1
    result = np.zeros((n, n))
    for row in range(n):
        part = slice(arrays["neighbour_start"][row], arrays["neighbour_start"][row + 1])
        result[row, arrays["neighbour_item"][part]] = arrays["neighbour_weight"][part]
    return result


def _fit(dataset: Dataset, **parameters: float | str) -> np.ndarray[Any, np.dtype[np.float64]]:
    return _dense(ItemKNN(parameters).fit(dataset, rng=np.random.default_rng(0)))


def _peer(model: ItemItemRecommender, dataset: Dataset) -> np.ndarray[Any, np.dtype[np.float64]]:
    model.fit(dataset.positives().matrix().astype(np.float64), show_progress=False)
    values: np.ndarray[Any, np.dtype[np.float64]] = model.similarity.toarray()
    np.fill_diagonal(values, 0.0)
    return values


@pytest.mark.filterwarnings("ignore::implicit.utils.ParameterWarning")
@pytest.mark.parametrize(
    ("weighting", "peer"),
    [
        ("cosine", CosineRecommender(K=1000)),
        ("tfidf", TFIDFRecommender(K=1000)),
        ("bm25", BM25Recommender(K=1000, K1=1.2, B=0.2)),
    ],
)
def test_similarity__all_neighbours__equals_implicit(weighting: str, peer: ItemItemRecommender) -> None:
    dataset = world(users=90)
    np.testing.assert_allclose(_fit(dataset, weighting=weighting, neighbours=1000), _peer(peer, dataset), rtol=1e-5)


def test_adjusted_cosine__ratings__by_its_definition(rated_world: Dataset) -> None:
    ratings = rated_world.matrix().toarray().astype(np.float64)
    given = ratings != 0
    means = ratings.sum(axis=1) / given.sum(axis=1)
    centred = np.where(given, ratings - means[:, None], 0.0)
    norms = np.sqrt((centred**2).sum(axis=0))
    norms[norms == 0] = 1.0
    expected = np.maximum((centred.T @ centred) / np.outer(norms, norms), 0.0)
    np.fill_diagonal(expected, 0.0)
    found = _fit(rated_world, weighting="adjusted-cosine", neighbours=1000)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_centred_rows__person_with_one_rating__zero(rated_world: Dataset) -> None:
    one = rated_world.take(np.array([0])).matrix()
    assert centred_rows(one).data.tolist() == [0.0]


def test_shrinkage__pairs_with_few_people__n_over_n_plus_beta(implicit_world: Dataset) -> None:
    both = implicit_world.matrix()
    both.data[:] = 1
    common = (both.T @ both).toarray()
    plain = _fit(implicit_world, neighbours=1000)
    shrunk = _fit(implicit_world, neighbours=1000, shrinkage=10.0)
    np.testing.assert_allclose(shrunk, plain * common / (common + 10.0), rtol=1e-5)


def test_top__fewer_neighbours__the_strongest_stay_and_ties_go_to_the_lower_index(implicit_world: Dataset) -> None:
    everything, three = _fit(implicit_world, neighbours=1000), _fit(implicit_world, neighbours=3)
    for row, values in enumerate(everything):
        expected = [index for index in np.lexsort((np.arange(values.size), -values))[:3] if values[index] > 0]
        assert np.flatnonzero(three[row]).tolist() == sorted(expected)


def test_blocks__one_row_at_a_time__same(implicit_world: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = _fit(implicit_world, shrinkage=5.0)
    monkeypatch.setattr(neighbours, "BLOCK_ENTRIES", 1)
    np.testing.assert_array_equal(_fit(implicit_world, shrinkage=5.0), whole)


def test_adjusted_cosine__one_person__items_above_their_mean_speak_for_others(rated_world: Dataset) -> None:
    algorithm = ItemKNN({"weighting": "adjusted-cosine"})
    arrays = algorithm.fit(rated_world, rng=np.random.default_rng(0))
    nobody = Profile(np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32))
    assert np.isneginf(algorithm.score(arrays, nobody)).all()
    profiles = rated_world.profiles()
    block = algorithm.score_block(arrays, profiles)
    for row, profile in enumerate(rows_of(profiles)):
        np.testing.assert_allclose(block[row], algorithm.score(arrays, profile), rtol=1e-4, atol=1e-5)
        best = int(top_k(block[row], 1)[0])
        gains = [anchor.contribution for anchor in algorithm.explain(arrays, profile, best)]
        assert sum(gains) == pytest.approx(float(block[row][best]), rel=1e-3)
