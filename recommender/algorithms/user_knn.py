"""User-based collaborative filtering: people with a taste like yours chose these.

Pearson over co-rated items (Resnick et al. 1994, GroupLens; Herlocker et al. 2002 for significance weighting):
sim(u, v) = Σ (r_ui − r̄_u)(r_vi − r̄_v) / (√Σ (r_ui − r̄_u)² · √Σ (r_vi − r̄_v)²), all sums and both means over the items
rated by both. Prediction r̂_ui = r̄_u + Σ sim(u, v)(r_vi − r̄_v) / Σ |sim(u, v)|, those means over all ratings of u and v.
Two people with one item in common correlate ±1 or not at all: hence the minimum overlap and the shrinkage n / (n + β).

Only positive similarities count. A neighbour whose every item is already in the profile (the person as we trained on
them, first of all) has nothing to add and takes no place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from recommender.algorithms.base import NO_SCORE, Algorithm, Capabilities, gather, rows_of
from recommender.algorithms.neighbours import without_zero

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recommender.algorithms.base import Arrays, Parameters, Profile, Scores
    from recommender.dataset import Csr, Dataset

SIMILARITIES = ("pearson", "cosine")
RANKINGS = ("support", "centred", "predicted")

VARIANCE_FLOOR = 1e-9
"""Relative: below it a variance is a rounding residue of equal ratings, and the correlation is undefined."""

BLOCK_CELLS = 400_000
"""Cells of one users × users block: a dozen float64 arrays of this size, sparse and dense, are 40 MB."""


class UserKNN(Algorithm):
    """`ranking`: Σ sim over neighbours who have the item (support), Σ sim · (r − r̄) (centred), or r̂ (predicted)."""

    key: ClassVar[str] = "user-knn"
    capabilities: ClassVar[Capabilities] = Capabilities(reason="similar_people")
    defaults: ClassVar[Parameters] = {
        "similarity": "pearson",
        "ranking": "support",
        "neighbours": 40,
        "shrinkage": 100.0,
        "min_overlap": 2,
    }

    def __init__(self, parameters: Parameters | None = None) -> None:
        super().__init__(parameters)
        if self.parameters["similarity"] not in SIMILARITIES:
            raise ValueError(f"{self.key}: similarity must be one of {', '.join(SIMILARITIES)}")
        if self.parameters["ranking"] not in RANKINGS:
            raise ValueError(f"{self.key}: ranking must be one of {', '.join(RANKINGS)}")
        self.uses_ratings = self.parameters["similarity"] == "pearson"

    def fit(self, dataset: Dataset, *, rng: np.random.Generator) -> Arrays:
        """Keeps the ratings twice, by user and by item: neighbours are found when they are asked for."""
        self.require_interactions(dataset)
        by_user = (dataset if self.uses_ratings else dataset.positives()).matrix()
        by_item = by_user.T.tocsr()
        counts = np.diff(by_user.indptr)
        totals = np.asarray(by_user.sum(axis=1), dtype=np.float64).ravel()
        return {
            "user_start": by_user.indptr.astype(np.int64),
            "user_item": by_user.indices.astype(np.int32),
            "user_rating": by_user.data.astype(np.float32),
            "item_start": by_item.indptr.astype(np.int64),
            "item_user": by_item.indices.astype(np.int32),
            "item_rating": by_item.data.astype(np.float32),
            "user_mean": (totals / np.maximum(counts, 1)).astype(np.float32),
            "user_norm": np.sqrt(np.asarray(by_user.multiply(by_user).sum(axis=1), dtype=np.float64).ravel()),
            "positive_from": np.array([dataset.positive_from if self.uses_ratings else 0.0], dtype=np.float32),
        }

    def score(self, arrays: Arrays, profile: Profile) -> Scores:
        """Finds the neighbours by one pass over the ratings of the profile's items, then adds up what they chose."""
        if profile.is_empty:
            return np.full(arrays["item_start"].size - 1, NO_SCORE, dtype=np.float32)
        similarity, overlap = self._similarity(_one(arrays, profile))
        useful = overlap < np.diff(arrays["user_start"])
        users, weights = self._nearest(np.where(useful, similarity, 0.0))
        return self._rank(arrays, users, weights, profile)

    def score_block(self, arrays: Arrays, profiles: Csr) -> Scores:
        """The same with sparse products: users × users exists only block by block."""
        n_users = arrays["user_start"].size - 1
        step = max(1, BLOCK_CELLS // max(1, n_users))
        counts = np.diff(arrays["user_start"])
        result = np.full((profiles.shape[0], arrays["item_start"].size - 1), NO_SCORE, dtype=np.float32)
        for first in range(0, profiles.shape[0], step):
            block = profiles[first : first + step]
            similarity, overlap = self._similarity(_many(arrays, block, moments=self.uses_ratings))
            similarity = np.where(overlap < counts, similarity, 0.0)
            for row, profile in enumerate(rows_of(block)):
                if not profile.is_empty:
                    users, weights = self._nearest(similarity[row])
                    result[first + row] = self._rank(arrays, users, weights, profile)
        return result

    def similarities(self, arrays: Arrays, profiles: Csr) -> NDArray[np.float64]:
        """Profiles × users, dense: for evaluation and tests of at most some thousand people at once."""
        return self._similarity(_many(arrays, profiles, moments=self.uses_ratings))[0]

    def predict(self, arrays: Arrays, profile: Profile, item: int, *, neighbours: int | None = None) -> float | None:
        """r̂ for one item from the nearest people who rated it (Resnick's formula); None when nobody near did."""
        similarity, _overlap = self._similarity(_one(arrays, profile))
        start = arrays["item_start"]
        raters = slice(int(start[item]), int(start[item + 1]))
        users, ratings = arrays["item_user"][raters], arrays["item_rating"][raters].astype(np.float64)
        order = np.argsort(-similarity[users], kind="stable")[: neighbours or self.count("neighbours")]
        weights = similarity[users[order]]
        order, weights = order[weights > 0], weights[weights > 0]
        if weights.size == 0:
            return None
        deviations = ratings[order] - arrays["user_mean"][users[order]]
        return float(_mean(profile) + (weights * deviations).sum() / weights.sum())

    def _similarity(self, sums: _Sums) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Similarity (≥ 0) and number of common items, for each training user."""
        n = sums.n
        beta, minimum = self.number("shrinkage"), max(1, self.count("min_overlap"))
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.parameters["similarity"] == "pearson":
                varx, vary = n * sums.xx - sums.x**2, n * sums.yy - sums.y**2
                defined = (varx > VARIANCE_FLOOR * n * sums.xx) & (vary > VARIANCE_FLOOR * n * sums.yy)
                value = (n * sums.xy - sums.x * sums.y) / np.sqrt(varx * vary) * (n / (n + beta))
                defined &= n >= minimum
            else:
                value = sums.xy / (sums.norm_x * sums.norm_y + beta)
                defined = (n >= minimum) & (sums.norm_x * sums.norm_y > 0)
            value = np.where(defined, value, 0.0)
        return np.clip(value, 0.0, 1.0), n

    def _nearest(self, similarity: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """The k most similar users, ties to the lower index."""
        k = self.count("neighbours")
        candidates = np.flatnonzero(similarity > 0)
        if candidates.size > k > 0:
            values = similarity[candidates]
            kth = np.partition(values, candidates.size - k)[candidates.size - k]
            candidates = candidates[values >= kth]
        order = np.argsort(-similarity[candidates], kind="stable")[:k]
        return candidates[order], similarity[candidates[order]]

    def _rank(self, arrays: Arrays, users: NDArray[np.intp], weights: NDArray[np.float64], profile: Profile) -> Scores:
        n_items = arrays["item_start"].size - 1
        positions, owner = gather(arrays["user_start"], users)
        items, weight = arrays["user_item"][positions], weights[owner]
        ratings = arrays["user_rating"][positions].astype(np.float64)
        if self.parameters["ranking"] == "support":
            liked = ratings >= float(arrays["positive_from"][0])
            return without_zero(np.bincount(items, weights=weight * liked, minlength=n_items))
        deviation: NDArray[np.float64] = np.bincount(
            items, weights=weight * (ratings - arrays["user_mean"][users][owner]), minlength=n_items
        ).astype(np.float64)
        total = np.bincount(items, weights=weight, minlength=n_items)
        rated = total > 0
        if self.parameters["ranking"] == "predicted":
            deviation = _mean(profile) + deviation / np.where(rated, total, 1.0)
        return np.where(rated, deviation, NO_SCORE).astype(np.float32)


@dataclass(frozen=True, slots=True)
class _Sums:
    """Sums over the items both people have; x is the profile, y the training user. Arrays of one shape."""

    n: NDArray[np.float64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    xx: NDArray[np.float64]
    yy: NDArray[np.float64]
    xy: NDArray[np.float64]
    norm_x: NDArray[np.float64]
    norm_y: NDArray[np.float64]


def _one(arrays: Arrays, profile: Profile) -> _Sums:
    n_users = arrays["user_start"].size - 1
    positions, owner = gather(arrays["item_start"], profile.items)
    users = arrays["item_user"][positions]
    y = arrays["item_rating"][positions].astype(np.float64)
    x = profile.weights[owner].astype(np.float64)

    def total(values: NDArray[np.float64] | None) -> NDArray[np.float64]:
        return np.bincount(users, weights=values, minlength=n_users).astype(np.float64)

    norm = np.sqrt((profile.weights.astype(np.float64) ** 2).sum())
    return _Sums(
        n=total(None),
        x=total(x),
        y=total(y),
        xx=total(x * x),
        yy=total(y * y),
        xy=total(x * y),
        norm_x=np.full(n_users, norm),
        norm_y=arrays["user_norm"].astype(np.float64, copy=False),
    )


def _many(arrays: Arrays, profiles: Csr, *, moments: bool) -> _Sums:
    """Sums of all pairs; cosine does without the `moments` (then `n` stands in their places)."""
    from scipy.sparse import csr_matrix

    def filled(matrix: csr_matrix[np.float64], data: NDArray[np.floating]) -> csr_matrix[np.float64]:
        return csr_matrix((data.astype(np.float64), matrix.indices, matrix.indptr), shape=matrix.shape)

    shape = (arrays["item_start"].size - 1, arrays["user_start"].size - 1)
    y: csr_matrix[np.float64] = csr_matrix(
        (arrays["item_rating"].astype(np.float64), arrays["item_user"], arrays["item_start"]), shape=shape
    )
    x = profiles.astype(np.float64)
    ones_x, ones_y = filled(x, np.ones_like(x.data)), filled(y, np.ones_like(y.data))
    norm_x = np.sqrt(np.asarray(x.multiply(x).sum(axis=1)).ravel())
    n = (ones_x @ ones_y).toarray()
    return _Sums(
        n=n,
        x=(x @ ones_y).toarray() if moments else n,
        y=(ones_x @ y).toarray() if moments else n,
        xx=(filled(x, x.data**2) @ ones_y).toarray() if moments else n,
        yy=(ones_x @ filled(y, y.data**2)).toarray() if moments else n,
        xy=(x @ y).toarray(),
        norm_x=np.broadcast_to(norm_x[:, None], n.shape),
        norm_y=np.broadcast_to(arrays["user_norm"], n.shape),
    )


def _mean(profile: Profile) -> float:
    return float(profile.weights.astype(np.float64).mean())
