"""Implicit ALS: matrix factorization with confidences (Hu, Koren & Volinsky 2008), fitted by the `implicit` library.

A person is folded in from their profile when they are asked for (eq. 4):
x = (YᵀY + λI + Σ (c_i − 1) y_i y_iᵀ)⁻¹ Σ c_i y_i with c_i = α · weight. Nothing about people is stored, and new events
count at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from recommender.algorithms.base import NO_SCORE, Algorithm, Anchor, Capabilities, rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from recommender.algorithms.base import Arrays, Parameters, Profile, Scores
    from recommender.dataset import Csr, Dataset


class Als(Algorithm):
    """Scales to any catalogue; needs some twenty events of a person to be at its best."""

    key: ClassVar[str] = "als"
    capabilities: ClassVar[Capabilities] = Capabilities(explains=True)
    defaults: ClassVar[Parameters] = {
        "factors": 32,
        "regularization": 10.0,
        "alpha": 1.0,
        "iterations": 15,
        "threads": 1,
    }

    def fit(self, dataset: Dataset, *, rng: np.random.Generator) -> Arrays:
        """Item factors; the seed of the library comes from `rng`, one thread makes the result repeatable."""
        from implicit.cpu.als import AlternatingLeastSquares
        from threadpoolctl import threadpool_limits

        self.require_interactions(dataset)
        matrix = dataset.positives().matrix()
        with threadpool_limits(1, "blas"):  # the library solves many small systems: BLAS threads only get in the way
            model = AlternatingLeastSquares(
                factors=self.count("factors"),
                regularization=self.number("regularization"),
                alpha=self.number("alpha"),
                iterations=self.count("iterations"),
                num_threads=self.count("threads"),
                random_state=int(rng.integers(2**31)),
            )
            model.fit(matrix, show_progress=False)
        factors = np.asarray(model.item_factors, dtype=np.float32)
        known = np.bincount(matrix.indices, minlength=dataset.n_items) > 0
        factors = np.where(known[:, None], factors, np.float32(0))
        return {"factors": factors, "gram": (factors.T @ factors).astype(np.float32), "known": known}

    def score(self, arrays: Arrays, profile: Profile) -> Scores:
        """Inner products of the folded-in person with all items."""
        _inverse, person = self._fold_in(arrays, profile)
        if person is None:
            return np.full(arrays["known"].size, NO_SCORE, dtype=np.float32)
        return np.where(arrays["known"], arrays["factors"] @ person, NO_SCORE).astype(np.float32)

    def score_block(self, arrays: Arrays, profiles: Csr) -> Scores:
        """Small solves one by one, one product for all."""
        people = [self._fold_in(arrays, profile)[1] for profile in rows_of(profiles)]
        nobody = np.zeros(arrays["factors"].shape[1], dtype=np.float32)
        stacked = np.stack([nobody if person is None else person for person in people])
        scores = np.where(arrays["known"], stacked @ arrays["factors"].T, NO_SCORE).astype(np.float32)
        scores[[person is None for person in people]] = NO_SCORE
        return scores

    def explain(self, arrays: Arrays, profile: Profile, item: int) -> Sequence[Anchor]:
        """y_jᵀ A⁻¹ c_i y_i: how much each item of the profile gave (section 5 of the paper)."""
        system, person = self._fold_in(arrays, profile)
        if person is None:
            return ()
        target = np.linalg.solve(system, arrays["factors"][item].astype(np.float64))
        gains = (arrays["factors"][profile.items] @ target) * profile.weights * self.number("alpha")
        order = np.argsort(-gains, kind="stable")
        return tuple(Anchor(int(profile.items[at]), float(gains[at])) for at in order if gains[at] > 0)

    def _fold_in(self, arrays: Arrays, profile: Profile) -> tuple[NDArray[np.float64], NDArray[np.float32] | None]:
        """The system A and its solution x; no solution for somebody without a known item."""
        system = arrays["gram"].astype(np.float64)
        system[np.diag_indices_from(system)] += self.number("regularization")
        known = arrays["known"][profile.items]
        if not known.any():
            return system, None
        chosen = arrays["factors"][profile.items[known]].astype(np.float64)
        confidence = self.number("alpha") * profile.weights[known].astype(np.float64)
        system += chosen.T @ (chosen * (confidence - 1.0)[:, None])
        person = np.linalg.solve(system, chosen.T @ confidence)
        return system, person.astype(np.float32)
