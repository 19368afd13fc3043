"""Implicit ALS: matrix factorization with confidences (Hu, Koren & Volinsky 2008), fitted by the `implicit` library.

A person is folded in from their profile when they are asked for (eq. 4):
x = (YᵀY + λI + Σ (c_i − 1) y_i y_iᵀ)⁻¹ Σ c_i y_i with c_i = α · weight. Nothing about people is stored, and new events
count at once. What outgrows one machine is fitted by Apache Spark (`backend="spark"`) and stored in the same form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from recommender.algorithms.base import Anchor, Capabilities, Parameters, Profile, rows_of
from recommender.algorithms.factors import FACTORS, KNOWN, FactorModel
from recommender.algorithms.index import EXACT
from recommender.algorithms.recency import faded, faded_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from recommender.algorithms.base import Arrays
    from recommender.dataset import Csr, Dataset

BACKENDS = ("implicit", "spark")


class Als(FactorModel):
    """Scales to any catalogue; needs some twenty events of a person to be at its best."""

    key: ClassVar[str] = "als"
    capabilities: ClassVar[Capabilities] = Capabilities(explains=True)
    defaults: ClassVar[Parameters] = {
        "factors": 32,
        "regularization": 10.0,
        "alpha": 1.0,
        "iterations": 15,
        "memory": 0.0,
        "threads": 1,
        "backend": "implicit",
        "index": EXACT,
    }

    def __init__(self, parameters: Parameters | None = None) -> None:
        super().__init__(parameters)
        if self.parameters["backend"] not in BACKENDS:
            raise ValueError(f"{self.key}: backend must be one of {', '.join(BACKENDS)}")

    def fit(self, dataset: Dataset, *, rng: np.random.Generator) -> Arrays:
        """Item factors; the seed of the library comes from `rng`, one thread makes the result repeatable."""
        self.require_interactions(dataset)
        matrix = self._matrix(dataset)
        factors = self._factors(matrix, seed=int(rng.integers(2**31)))
        known = np.bincount(matrix.indices, minlength=dataset.n_items) > 0
        factors = np.where(known[:, None], factors, np.float32(0))
        arrays = {FACTORS: factors, "gram": (factors.T @ factors).astype(np.float32), KNOWN: known}
        return self.with_index(arrays, dataset, rng=rng)

    def person(self, arrays: Arrays, profile: Profile) -> NDArray[np.float32] | None:
        """Folded in; nobody without a known item."""
        return self._fold_in(arrays, faded(profile, self.number("memory")))[1]

    def people(self, arrays: Arrays, profiles: Csr) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Systems of people whose confidences are all 1 are one system: factored once, solved for all."""
        faded_profiles = faded_rows(profiles, self.number("memory"))
        confidences = faded_profiles * np.float32(self.number("alpha"))
        right = np.asarray(confidences @ arrays[FACTORS], dtype=np.float64)
        system = self._system(arrays)
        if np.all(confidences.data == 1.0):
            people = np.linalg.solve(system, right.T).T
        else:
            systems = np.broadcast_to(system, (profiles.shape[0], *system.shape)).copy()
            for place, row in enumerate(rows_of(confidences)):
                chosen = arrays[FACTORS][row.items].astype(np.float64)
                systems[place] += chosen.T @ (chosen * (row.weights - 1.0)[:, None])
            people = np.linalg.solve(systems, right[:, :, None])[:, :, 0]
        return people.astype(np.float32), (profiles @ arrays[KNOWN].astype(np.float32)) > 0

    def explain(self, arrays: Arrays, profile: Profile, item: int) -> Sequence[Anchor]:
        """y_jᵀ A⁻¹ c_i y_i: how much each item of the profile gave (section 5 of the paper)."""
        weighted = faded(profile, self.number("memory"))
        system, person = self._fold_in(arrays, weighted)
        if person is None:
            return ()
        target = np.linalg.solve(system, arrays[FACTORS][item].astype(np.float64))
        gains = (arrays[FACTORS][weighted.items] @ target) * weighted.weights * self.number("alpha")
        order = np.argsort(-gains, kind="stable")
        return tuple(Anchor(int(weighted.items[at]), float(gains[at])) for at in order if gains[at] > 0)

    def _matrix(self, dataset: Dataset) -> Csr:
        return dataset.positives().matrix()

    def _factors(self, matrix: Csr, *, seed: int) -> NDArray[np.float32]:
        if self.parameters["backend"] == "spark":
            from recommender.algorithms.spark import spark_item_factors

            return spark_item_factors(
                matrix,
                factors=self.count("factors"),
                regularization=self.number("regularization"),
                alpha=self.number("alpha"),
                iterations=self.count("iterations"),
                seed=seed,
            )
        from implicit.cpu.als import AlternatingLeastSquares
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1, "blas"):  # the library solves many small systems: BLAS threads only get in the way
            model = AlternatingLeastSquares(
                factors=self.count("factors"),
                regularization=self.number("regularization"),
                alpha=self.number("alpha"),
                iterations=self.count("iterations"),
                num_threads=self.count("threads"),
                random_state=seed,
            )
            model.fit(matrix, show_progress=False)
        return np.asarray(model.item_factors, dtype=np.float32)

    def _system(self, arrays: Arrays) -> NDArray[np.float64]:
        system: NDArray[np.float64] = arrays["gram"].astype(np.float64)
        system[np.diag_indices_from(system)] += self.number("regularization")
        return system

    def _fold_in(self, arrays: Arrays, profile: Profile) -> tuple[NDArray[np.float64], NDArray[np.float32] | None]:
        """The system A and its solution x; no solution for somebody without a known item."""
        system = self._system(arrays)
        known = arrays[KNOWN][profile.items]
        if not known.any():
            return system, None
        chosen = arrays[FACTORS][profile.items[known]].astype(np.float64)
        confidence = self.number("alpha") * profile.weights[known].astype(np.float64)
        system += chosen.T @ (chosen * (confidence - 1.0)[:, None])
        person = np.linalg.solve(system, chosen.T @ confidence)
        return system, person.astype(np.float32)


class FeatureAls(Als):
    """Factorization with side features: descriptions are people who chose every item they describe.

    The token–item matrix stands under the people's matrix and shares its item factors (collective matrix
    factorization; Singh & Gordon 2008), so that an item without an interaction has a vector too.
    """

    key: ClassVar[str] = "als-features"
    capabilities: ClassVar[Capabilities] = Capabilities(explains=True, needs_tokens=True, cold_items=True)
    defaults: ClassVar[Parameters] = {**Als.defaults, "features_weight": 0.3, "min_token_items": 2}

    def _matrix(self, dataset: Dataset) -> Csr:
        """People above, tokens of at least `min_token_items` items below."""
        from scipy.sparse import csr_matrix, vstack

        from recommender.dataset import token_matrix

        if not any(dataset.tokens):
            raise ValueError(f"{self.key}: no item of the data set has a description")
        described, _names = token_matrix(dataset.tokens)
        by_token = csr_matrix(described.T)
        common = by_token[np.diff(by_token.indptr) >= self.count("min_token_items")]
        below = common * np.float32(self.number("features_weight"))
        return csr_matrix(vstack([super()._matrix(dataset), below], format="csr", dtype=np.float32))
