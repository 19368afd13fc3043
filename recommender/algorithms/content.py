"""Content-based: items described by tokens, TF-IDF weighted; a person is the weighted centroid of what they chose.

Salton & Buckley 1988 for the weights; Pazzani & Billsus 2007, section 10.4, for the profile. A cold-start tool: it
knows an item from its first day, and on films described by genre alone it ranks worse than popularity.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from recommender.algorithms.base import Algorithm, Anchor, Capabilities, gather
from recommender.algorithms.neighbours import without_zero

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from recommender.algorithms.base import Arrays, Parameters, Profile, Scores
    from recommender.dataset import Csr, Dataset


class Content(Algorithm):
    """Cosine between the person's centroid and each item's vector."""

    key: ClassVar[str] = "content"
    capabilities: ClassVar[Capabilities] = Capabilities(needs_tokens=True, explains=True, cold_items=True)
    defaults: ClassVar[Parameters] = {"min_document_frequency": 1, "max_document_share": 1.0}

    def fit(self, dataset: Dataset, *, rng: np.random.Generator) -> Arrays:
        """Unit TF-IDF vectors of all items, those without interactions included."""
        if not any(dataset.tokens):
            raise ValueError("content: no item of the data set has a description")
        rows, columns, n_tokens = _encode(dataset.tokens)
        pairs, counts = np.unique(rows.astype(np.int64) * n_tokens + columns, return_counts=True)
        rows, columns = (pairs // n_tokens).astype(np.int32), (pairs % n_tokens).astype(np.int32)
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
        return {
            "token_start": np.searchsorted(rows, np.arange(dataset.n_items + 1)).astype(np.int64),
            "token_item": rows,
            "token": columns,
            "token_weight": (values / norms[rows]).astype(np.float32),
            "n_tokens": np.array([n_tokens], dtype=np.int64),
        }

    def score(self, arrays: Arrays, profile: Profile) -> Scores:
        """Cosine of centroid and item; nothing in common is no score."""
        start: NDArray[np.int64] = arrays["token_start"].astype(np.int64, copy=False)
        positions, owner = gather(start, profile.items)
        centroid = np.bincount(
            arrays["token"][positions],
            weights=arrays["token_weight"][positions] * profile.weights[owner],
            minlength=int(arrays["n_tokens"][0]),
        )
        length = float(np.sqrt((centroid**2).sum())) or 1.0
        products = arrays["token_weight"] * centroid[arrays["token"]]
        return without_zero(np.bincount(arrays["token_item"], weights=products, minlength=start.size - 1) / length)

    def score_block(self, arrays: Arrays, profiles: Csr) -> Scores:
        """Two sparse products."""
        from scipy.sparse import csr_matrix

        start = arrays["token_start"]
        vectors: Csr = csr_matrix(
            (arrays["token_weight"], arrays["token"], start), shape=(start.size - 1, int(arrays["n_tokens"][0]))
        )
        centroids = (profiles @ vectors).tocsr()
        lengths = np.sqrt(np.asarray(centroids.multiply(centroids).sum(axis=1)).ravel())
        lengths[lengths == 0] = 1.0
        return without_zero((centroids @ vectors.T).toarray() / lengths[:, None])

    def explain(self, arrays: Arrays, profile: Profile, item: int) -> Sequence[Anchor]:
        """Items of the profile by weight · cosine with the item."""
        start: NDArray[np.int64] = arrays["token_start"].astype(np.int64, copy=False)
        own = slice(int(start[item]), int(start[item + 1]))
        vector = np.zeros(int(arrays["n_tokens"][0]), dtype=np.float64)
        vector[arrays["token"][own]] = arrays["token_weight"][own]
        positions, owner = gather(start, profile.items)
        products = arrays["token_weight"][positions] * vector[arrays["token"][positions]]
        gains = np.bincount(owner, weights=products, minlength=profile.items.size) * profile.weights
        order = np.argsort(-gains, kind="stable")
        return tuple(Anchor(int(profile.items[place]), float(gains[place])) for place in order if gains[place] > 0)


def _encode(tokens: Sequence[Sequence[str]]) -> tuple[NDArray[np.int32], NDArray[np.int32], int]:
    codes: dict[str, int] = {}
    columns = np.fromiter((codes.setdefault(token, len(codes)) for row in tokens for token in row), dtype=np.int32)
    rows = np.repeat(np.arange(len(tokens), dtype=np.int32), [len(row) for row in tokens])
    return rows, columns, len(codes)
