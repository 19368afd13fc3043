"""EASE^R: a linear item–item model in closed form (Steck 2019, "Embarrassingly shallow autoencoders", eq. 8).

B = I − P · diag(1 ./ diag P) with P = (XᵀX + λI)⁻¹: the least-squares reconstruction of a person's row from the other
items. Inverting costs the cube of the number of items; above `max_items` only the most chosen ones take part, the
others get no score and are left to the fallbacks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from recommender.algorithms.base import NO_SCORE, Algorithm, Anchor, Capabilities, Profile
from recommender.algorithms.recency import faded, faded_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from recommender.algorithms.base import Arrays, Parameters, Scores
    from recommender.dataset import Csr, Dataset


class Ease(Algorithm):
    """The best single model of both data sets we measured, up to some ten thousand items."""

    key: ClassVar[str] = "ease"
    capabilities: ClassVar[Capabilities] = Capabilities(explains=True)
    defaults: ClassVar[Parameters] = {"regularization": 300.0, "max_items": 8_000, "binary": False, "memory": 0.0}
    """8,000 items: a 256 MB matrix and about 40 CPU seconds. `binary`: only whether, not how much."""

    def fit(self, dataset: Dataset, *, rng: np.random.Generator) -> Arrays:
        """Inverts the Gram matrix of the most chosen items, in float32."""
        from scipy.linalg import lapack

        self.require_interactions(dataset)
        matrix = dataset.positives().matrix()
        if self.parameters["binary"]:
            matrix.data = np.ones_like(matrix.data)
        head = most_chosen(matrix, self.count("max_items"))
        chosen = matrix[:, head]
        gram = np.asfortranarray((chosen.T @ chosen).toarray(), dtype=np.float32)
        diagonal = np.arange(head.size)
        gram[diagonal, diagonal] += np.float32(max(self.number("regularization"), 1e-3))
        factor, failed = lapack.spotrf(gram, lower=True, overwrite_a=True)
        if not failed:
            factor, failed = lapack.spotri(factor, lower=True, overwrite_c=True)
        if failed:
            raise ValueError("ease: the Gram matrix is singular; use a larger regularization")
        inverse = np.tril(factor) + np.tril(factor, -1).T
        weights = inverse / -inverse[diagonal, diagonal][None, :]
        weights[diagonal, diagonal] = 0.0
        place = np.full(dataset.n_items, -1, dtype=np.int32)
        place[head] = diagonal
        return {"weights": np.ascontiguousarray(weights, dtype=np.float32), "head": head, "place": place}

    def score(self, arrays: Arrays, profile: Profile) -> Scores:
        """x · B over the head; an unknown person, or one of rare items only, gets no score."""
        scores: Scores = np.full(arrays["place"].size, NO_SCORE, dtype=np.float32)
        places, values = self._known(arrays, profile)
        if places.size:
            scores[arrays["head"]] = values @ arrays["weights"][places]
        return scores

    def score_block(self, arrays: Arrays, profiles: Csr) -> Scores:
        """One product of a sparse with a dense matrix."""
        weighted = profiles
        if self.parameters["binary"]:
            weighted = profiles.copy()
            weighted.data = np.ones_like(profiles.data)
        head = faded_rows(weighted, self.number("memory"))[:, arrays["head"]]
        scores: Scores = np.full(profiles.shape, NO_SCORE, dtype=np.float32)
        known = np.diff(head.indptr) > 0
        scores[np.ix_(known, arrays["head"])] = head[known] @ arrays["weights"]
        return scores

    def explain(self, arrays: Arrays, profile: Profile, item: int) -> Sequence[Anchor]:
        """Items of the profile by weight · B."""
        target = int(arrays["place"][item])
        if target < 0:
            return ()
        known = np.flatnonzero(arrays["place"][profile.items] >= 0)
        places, values = self._known(arrays, profile)
        gains = values * arrays["weights"][places, target]
        order = np.argsort(-gains, kind="stable")
        return tuple(Anchor(int(profile.items[known[at]]), float(gains[at])) for at in order if gains[at] > 0)

    def _known(self, arrays: Arrays, profile: Profile) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        places = arrays["place"][profile.items]
        known = places >= 0
        values = np.ones_like(profile.weights) if self.parameters["binary"] else profile.weights
        return places[known], faded(Profile(profile.items, values), self.number("memory")).weights[known]


def most_chosen(matrix: Csr, limit: int) -> NDArray[np.int64]:
    """Indices (ascending) of the at most `limit` items with the most people, those without any left out."""
    people = np.bincount(matrix.indices, minlength=matrix.shape[1])
    order = np.lexsort((np.arange(people.size), -people))[:limit]
    return np.sort(order[people[order] > 0])
