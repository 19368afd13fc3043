"""BPR: factors that rank what somebody chose above what they did not (Rendle et al. 2009), by the `implicit` library.

The library's people are kept only to learn how a profile becomes a person: a ridge regression from the mean of a
profile's item vectors to the vector that training found for its owner. So new people and new events count at once, as
in every other model here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from recommender.algorithms.base import Anchor, Capabilities, Parameters, Profile
from recommender.algorithms.factors import FACTORS, KNOWN, FactorModel
from recommender.algorithms.index import EXACT
from recommender.algorithms.recency import faded, faded_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from recommender.algorithms.base import Arrays
    from recommender.dataset import Csr, Dataset


class Bpr(FactorModel):
    """For long implicit histories; with two events a person it falls below popularity (validation tells)."""

    key: ClassVar[str] = "bpr"
    capabilities: ClassVar[Capabilities] = Capabilities(explains=True)
    defaults: ClassVar[Parameters] = {
        "factors": 64,
        "learning_rate": 0.05,
        "regularization": 0.05,
        "iterations": 100,
        "ridge": 10.0,
        "memory": 0.0,
        "index": EXACT,
    }

    def fit(self, dataset: Dataset, *, rng: np.random.Generator) -> Arrays:
        """One thread and a seed: the same arrays again. The last factor of an item is its bias."""
        from implicit.cpu.bpr import BayesianPersonalizedRanking

        self.require_interactions(dataset)
        matrix = dataset.positives().matrix()
        model = BayesianPersonalizedRanking(
            factors=self.count("factors"),
            learning_rate=self.number("learning_rate"),
            regularization=self.number("regularization"),
            iterations=self.count("iterations"),
            num_threads=1,
            random_state=int(rng.integers(2**31)),
        )
        model.fit(matrix, show_progress=False)
        known = np.bincount(matrix.indices, minlength=dataset.n_items) > 0
        factors = np.where(known[:, None], np.asarray(model.item_factors, dtype=np.float32), np.float32(0))
        means, someone = _means(matrix, factors)
        targets = np.asarray(model.user_factors, dtype=np.float64)[someone]
        inputs = means[someone].astype(np.float64)
        gram = inputs.T @ inputs
        gram[np.diag_indices_from(gram)] += self.number("ridge") + 1e-6
        fold = np.linalg.solve(gram, inputs.T @ targets).astype(np.float32)
        return self.with_index({FACTORS: factors, KNOWN: known, "fold": fold}, dataset, rng=rng)

    def person(self, arrays: Arrays, profile: Profile) -> NDArray[np.float32] | None:
        """Mean of the profile's vectors, through the regression; nobody without a known item."""
        chosen = faded(profile, self.number("memory"))
        known = arrays[KNOWN][chosen.items]
        if not known.any():
            return None
        weights = chosen.weights[known]
        mean = weights @ arrays[FACTORS][chosen.items[known], :-1] / weights.sum()
        return _vector(np.append(mean, np.float32(1))[None, :], arrays["fold"]).ravel()

    def people(self, arrays: Arrays, profiles: Csr) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Two products."""
        means, known = _means(
            faded_rows(profiles, self.number("memory")), arrays[FACTORS], arrays[KNOWN].astype(np.float32)
        )
        return _vector(means, arrays["fold"]), known

    def explain(self, arrays: Arrays, profile: Profile, item: int) -> Sequence[Anchor]:
        """The share of each item of the profile in the inner product."""
        chosen = faded(profile, self.number("memory"))
        target = arrays["fold"][:-1, :-1] @ arrays[FACTORS][item, :-1]
        gains = (arrays[FACTORS][chosen.items, :-1] @ target) * chosen.weights / max(float(chosen.weights.sum()), 1e-9)
        order = np.argsort(-gains, kind="stable")
        return tuple(Anchor(int(chosen.items[at]), float(gains[at])) for at in order if gains[at] > 0)


def _means(
    profiles: Csr, factors: NDArray[np.float32], known: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Weighted mean of item vectors without bias, and a 1; who has a known item."""
    totals = profiles @ (np.ones(factors.shape[0], dtype=np.float32) if known is None else known)
    sums = profiles @ factors[:, :-1]
    means = sums / np.where(totals > 0, totals, 1)[:, None]
    return np.hstack([means, np.ones((means.shape[0], 1), dtype=np.float32)]).astype(np.float32), totals > 0


def _vector(means: NDArray[np.float32], fold: NDArray[np.float32]) -> NDArray[np.float32]:
    people = means @ fold
    people[:, -1] = 1.0  # for the items' bias
    return people.astype(np.float32)
