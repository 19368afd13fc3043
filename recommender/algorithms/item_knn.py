"""Item-based collaborative filtering: people who chose this also chose those.

Sarwar et al. 2001, "Item-based collaborative filtering recommendation algorithms" (cosine, adjusted cosine, eq. 1
and 3); Deshpande & Karypis 2004 for top-N from neighbour lists; BM25 weights after Robertson & Zaragoza 2009, applied
to item–user counts with the person as the term, as the `implicit` library does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from recommender.algorithms.base import Algorithm, Capabilities, Profile
from recommender.algorithms.neighbours import (
    explain_neighbours,
    rank_neighbours_block,
    score_neighbours,
    score_neighbours_block,
    top_neighbours,
)
from recommender.algorithms.recency import faded, faded_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from recommender.algorithms.base import Anchor, Arrays, Parameters, Scores
    from recommender.dataset import Csr, Dataset

WEIGHTINGS = ("cosine", "tfidf", "bm25", "adjusted-cosine")


class ItemKNN(Algorithm):
    """Works from a person's first event, without retraining: the model is about items only."""

    key: ClassVar[str] = "item-knn"
    capabilities: ClassVar[Capabilities] = Capabilities(explains=True)
    defaults: ClassVar[Parameters] = {
        "weighting": "cosine",
        "neighbours": 100,
        "shrinkage": 0.0,
        "k1": 1.2,
        "b": 0.2,
        "memory": 0.0,
    }

    def __init__(self, parameters: Parameters | None = None) -> None:
        super().__init__(parameters)
        if self.parameters["weighting"] not in WEIGHTINGS:
            raise ValueError(f"{self.key}: weighting must be one of {', '.join(WEIGHTINGS)}")
        self.uses_ratings = self.parameters["weighting"] == "adjusted-cosine"

    def fit(self, dataset: Dataset, *, rng: np.random.Generator) -> Arrays:
        """The `neighbours` most similar items of each item, by blocks of a sparse product."""
        self.require_interactions(dataset)
        weighted = self._weighted(dataset)
        by_item = weighted.T.tocsr()
        return top_neighbours(by_item, weighted, neighbours=self.count("neighbours"), adjust=self._shrink(dataset))

    def score(self, arrays: Arrays, profile: Profile) -> Scores:
        """Σ weight · similarity over the profile."""
        return score_neighbours(arrays, self._centred(profile))

    def score_block(self, arrays: Arrays, profiles: Csr) -> Scores:
        """One sparse product."""
        return score_neighbours_block(arrays, self._weighted_rows(profiles))

    def rank_block(self, arrays: Arrays, profiles: Csr, seen: Csr, k: int) -> NDArray[np.int32]:
        """The same product, never dense."""
        return rank_neighbours_block(arrays, self._weighted_rows(profiles), seen, k)

    def explain(self, arrays: Arrays, profile: Profile, item: int) -> Sequence[Anchor]:
        """Because you chose these."""
        return explain_neighbours(arrays, self._centred(profile), item)

    def _centred(self, profile: Profile) -> Profile:
        """Adjusted cosine weighs an item by how far above the person's mean they rated it."""
        if self.uses_ratings and not profile.is_empty:
            profile = Profile(profile.items, profile.weights - profile.weights.mean())
        return faded(profile, self.number("memory"))

    def _weighted_rows(self, profiles: Csr) -> Csr:
        return faded_rows(centred_rows(profiles) if self.uses_ratings else profiles, self.number("memory"))

    def _weighted(self, dataset: Dataset) -> Csr:
        weighting = self.parameters["weighting"]
        if weighting == "adjusted-cosine":
            return unit_columns(centred_rows(dataset.matrix()))
        matrix = dataset.positives().matrix()
        if weighting == "bm25":
            return bm25(matrix, k1=self.number("k1"), b=self.number("b"))
        return unit_columns(tfidf(matrix) if weighting == "tfidf" else matrix)

    def _shrink(self, dataset: Dataset) -> _Shrinkage | None:
        beta = self.number("shrinkage")
        return _Shrinkage(dataset.positives().matrix(), beta) if beta > 0 else None


class _Shrinkage:
    """Multiplies each similarity by n / (n + β), n = number of people who chose both (Bell & Koren 2007, eq. 3)."""

    def __init__(self, matrix: Csr, beta: float) -> None:
        ones = matrix.copy()
        ones.data = np.ones_like(ones.data)
        self._by_item = ones.T.tocsr()
        self._ones = ones
        self._beta = beta

    def __call__(self, block: Csr, first: int) -> None:
        both = (self._by_item[first : first + block.shape[0]] @ self._ones).tocsr()
        both.data = both.data / (both.data + np.float32(self._beta))
        shrunk = block.multiply(both).tocsr()
        block.data, block.indices, block.indptr = shrunk.data, shrunk.indices, shrunk.indptr


def unit_columns(matrix: Csr) -> Csr:
    """Each column divided by its Euclidean length; empty columns stay empty."""
    squares = np.bincount(matrix.indices, weights=matrix.data.astype(np.float64) ** 2, minlength=matrix.shape[1])
    norms = np.sqrt(squares)
    norms[norms == 0] = 1.0
    return _with_data(matrix, matrix.data / norms[matrix.indices])


def centred_rows(matrix: Csr) -> Csr:
    """Each stored value minus its row's mean of stored values (the "adjusted" of adjusted cosine)."""
    counts = np.diff(matrix.indptr)
    rows = np.repeat(np.arange(matrix.shape[0]), counts)
    totals = np.bincount(rows, weights=matrix.data, minlength=matrix.shape[0])
    means = totals / np.maximum(counts, 1)
    return _with_data(matrix, matrix.data - means[rows])


def tfidf(matrix: Csr) -> Csr:
    """√value · ln(M / (1 + n_u)): a person who chose almost everything says little about any pair of items."""
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    return _with_data(matrix, np.sqrt(matrix.data) * _idf(matrix)[rows])


def bm25(matrix: Csr, *, k1: float, b: float) -> Csr:
    """(k1 + 1)·v / (k1·((1 − b) + b·len_i / mean len) + v) · idf_u, the length of an item being its sum of values."""
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    lengths = np.bincount(matrix.indices, weights=matrix.data, minlength=matrix.shape[1])
    mean_length = lengths.mean() if lengths.size and lengths.any() else 1.0
    norm = (1.0 - b) + b * lengths / mean_length
    values = matrix.data.astype(np.float64)
    saturated = values * (k1 + 1.0) / (k1 * norm[matrix.indices] + values)
    return _with_data(matrix, saturated * _idf(matrix)[rows])


def _idf(matrix: Csr) -> NDArray[np.float64]:
    """ln M − ln(1 + items of the person), never negative: a person with all items must not count against pairs."""
    counts = np.diff(matrix.indptr)
    idf: NDArray[np.float64] = np.maximum(np.log(max(matrix.shape[1], 1)) - np.log1p(counts), 0.0)
    return idf


def _with_data(matrix: Csr, data: NDArray[np.floating]) -> Csr:
    result = matrix.copy()
    result.data = data.astype(np.float32)
    return result
