"""Popularity: the sum of event weights per item, halved for every half-life that has passed since the event."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from recommender.algorithms.base import Algorithm, Capabilities
from recommender.dataset import MICROSECONDS_PER_DAY

if TYPE_CHECKING:
    from recommender.algorithms.base import Arrays, Parameters, Profile, Scores
    from recommender.dataset import Csr, Dataset


class Popularity(Algorithm):
    """What people in general choose; the baseline of every comparison and the end of every fallback chain."""

    key: ClassVar[str] = "popularity"
    capabilities: ClassVar[Capabilities] = Capabilities(
        personalized=False, needs_interactions=False, cold_items=True, reason="popular"
    )
    defaults: ClassVar[Parameters] = {"half_life_days": 30.0}
    """0 days means no decay. With a half-life of a few days or hours it is "trending now"."""

    def fit(self, dataset: Dataset, *, rng: np.random.Generator) -> Arrays:
        """Σ w · 2^(−age / half-life) per item; the age counts from the newest event of the data, not from a clock."""
        positives = dataset.positives()
        weights = positives.weights.astype(np.float64)
        half_life = self.number("half_life_days") * MICROSECONDS_PER_DAY
        if half_life > 0 and weights.size:
            weights = weights * np.exp2((positives.at - positives.at.max()) / half_life)
        totals = np.bincount(positives.items, weights=weights, minlength=dataset.n_items)
        return {"popularity": totals.astype(np.float32)}

    def score(self, arrays: Arrays, profile: Profile) -> Scores:
        """The same for everybody."""
        return arrays["popularity"].astype(np.float32, copy=False)

    def score_block(self, arrays: Arrays, profiles: Csr) -> Scores:
        """One row, repeated without copying."""
        row = arrays["popularity"].astype(np.float32, copy=False)
        return np.broadcast_to(row, (profiles.shape[0], row.size))
