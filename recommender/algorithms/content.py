"""Content-based: items described by tokens, TF-IDF weighted; a person is the weighted centroid of what they chose.

Salton & Buckley 1988 for the weights; Pazzani & Billsus 2007, section 10.4, for the profile. A cold-start tool: it
knows an item from its first day, and on films described by genre alone it ranks worse than popularity.

Numbers (a price) come as tokens of overlapping quantile bins (`dataset.number_tokens`). Where a plug-in gives vectors
of the items' texts (embeddings), their cosine takes part with `vectors_weight`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from recommender.algorithms.base import Algorithm, Anchor, Capabilities, gather
from recommender.algorithms.neighbours import without_zero
from recommender.algorithms.recency import faded, faded_rows
from recommender.dataset import token_matrix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from recommender.algorithms.base import Arrays, Parameters, Profile, Scores
    from recommender.dataset import Csr, Dataset


class Content(Algorithm):
    """Cosine between the person's centroid and each item's vector."""

    key: ClassVar[str] = "content"
    capabilities: ClassVar[Capabilities] = Capabilities(
        needs_tokens=True, explains=True, cold_items=True, needs_interactions=False
    )
    defaults: ClassVar[Parameters] = {
        "min_document_frequency": 1,
        "max_document_share": 1.0,
        "vectors_weight": 0.5,
        "memory": 0.0,
    }

    def __init__(self, parameters: Parameters | None = None) -> None:
        super().__init__(parameters)
        if not 0 <= self.number("vectors_weight") <= 1:
            raise ValueError(f"{self.key}: vectors_weight must lie between 0 and 1")

    def fit(self, dataset: Dataset, *, rng: np.random.Generator) -> Arrays:
        """Unit TF-IDF vectors of all items, those without interactions included."""
        if not any(dataset.tokens):
            raise ValueError("content: no item of the data set has a description")
        described_by, _names = token_matrix(dataset.tokens)
        n_tokens = described_by.shape[1]
        rows = np.repeat(np.arange(dataset.n_items, dtype=np.int32), np.diff(described_by.indptr))
        columns, counts = described_by.indices, described_by.data
        frequency = np.bincount(columns, minlength=n_tokens)
        described = np.unique(rows).size
        kept = (frequency >= self.count("min_document_frequency")) & (
            frequency <= self.number("max_document_share") * described
        )
        keep = kept[columns]
        rows, columns, counts = rows[keep], columns[keep], counts[keep]
        idf = np.log((1.0 + described) / (1.0 + frequency)) + 1.0
        values = (1.0 + np.log(counts)) * idf[columns]
        norms = np.sqrt(np.bincount(rows, weights=values**2, minlength=dataset.n_items))
        arrays: Arrays = {
            "token_start": np.searchsorted(rows, np.arange(dataset.n_items + 1)).astype(np.int64),
            "token_item": rows,
            "token": columns,
            "token_weight": (values / norms[rows]).astype(np.float32),
            "n_tokens": np.array([n_tokens], dtype=np.int64),
        }
        if dataset.vectors is not None:
            arrays["vectors"] = _unit(dataset.vectors)
        return arrays

    def score(self, arrays: Arrays, profile: Profile) -> Scores:
        """Cosine of centroid and item; nothing in common is no score."""
        profile = faded(profile, self.number("memory"))
        start: NDArray[np.int64] = arrays["token_start"].astype(np.int64, copy=False)
        positions, owner = gather(start, profile.items)
        centroid = np.bincount(
            arrays["token"][positions],
            weights=arrays["token_weight"][positions] * profile.weights[owner],
            minlength=int(arrays["n_tokens"][0]),
        )
        length = float(np.sqrt((centroid**2).sum())) or 1.0
        products = arrays["token_weight"] * centroid[arrays["token"]]
        cosines = np.bincount(arrays["token_item"], weights=products, minlength=start.size - 1) / length
        if "vectors" in arrays:
            person = _unit((profile.weights @ arrays["vectors"][profile.items])[None, :])[0]
            cosines = self._mixed(cosines, arrays["vectors"] @ person)
        return without_zero(cosines)

    def score_block(self, arrays: Arrays, profiles: Csr) -> Scores:
        """Two sparse products."""
        from scipy.sparse import csr_matrix

        profiles = faded_rows(profiles, self.number("memory"))
        start = arrays["token_start"]
        vectors: Csr = csr_matrix(
            (arrays["token_weight"], arrays["token"], start), shape=(start.size - 1, int(arrays["n_tokens"][0]))
        )
        centroids = (profiles @ vectors).tocsr()
        lengths = np.sqrt(np.asarray(centroids.multiply(centroids).sum(axis=1)).ravel())
        lengths[lengths == 0] = 1.0
        cosines = (centroids @ vectors.T).toarray() / lengths[:, None]
        if "vectors" in arrays:
            cosines = self._mixed(cosines, _unit(profiles @ arrays["vectors"]) @ arrays["vectors"].T)
        return without_zero(cosines)

    def explain(self, arrays: Arrays, profile: Profile, item: int) -> Sequence[Anchor]:
        """Items of the profile by weight · cosine with the item."""
        start: NDArray[np.int64] = arrays["token_start"].astype(np.int64, copy=False)
        own = slice(int(start[item]), int(start[item + 1]))
        vector = np.zeros(int(arrays["n_tokens"][0]), dtype=np.float64)
        vector[arrays["token"][own]] = arrays["token_weight"][own]
        positions, owner = gather(start, profile.items)
        products = arrays["token_weight"][positions] * vector[arrays["token"][positions]]
        cosines = np.bincount(owner, weights=products, minlength=profile.items.size)
        if "vectors" in arrays:
            cosines = self._mixed(cosines, arrays["vectors"][profile.items] @ arrays["vectors"][item])
        gains = cosines * faded(profile, self.number("memory")).weights
        order = np.argsort(-gains, kind="stable")
        return tuple(Anchor(int(profile.items[place]), float(gains[place])) for place in order if gains[place] > 0)

    def _mixed(self, by_tokens: NDArray[Any], by_vectors: NDArray[np.float32]) -> NDArray[Any]:
        """Only what is alike counts: opposite vectors are no reason against an item."""
        weight = self.number("vectors_weight")
        return (1.0 - weight) * by_tokens + weight * np.maximum(by_vectors, 0.0)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of length 1; a row of zeros stays."""
    lengths = np.sqrt((vectors.astype(np.float64) ** 2).sum(axis=1, keepdims=True))
    return (vectors / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)
