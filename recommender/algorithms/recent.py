"""Recently viewed: what the person looked at last, newest first. No model of other people at all.

For places that remind ("continue where you stopped"); the strategy must let seen items pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from recommender.algorithms.base import NO_SCORE, Algorithm, Capabilities
from recommender.algorithms.recency import weights_of

if TYPE_CHECKING:
    from recommender.algorithms.base import Arrays, Parameters, Profile, Scores
    from recommender.dataset import Dataset


class RecentlyViewed(Algorithm):
    """Scores exp(−rank / memory): any positive memory gives the same order, and a blend a scale."""

    key: ClassVar[str] = "recently-viewed"
    capabilities: ClassVar[Capabilities] = Capabilities(needs_interactions=False, repeats=True, reason="recent")
    defaults: ClassVar[Parameters] = {"memory": 10.0}

    def __init__(self, parameters: Parameters | None = None) -> None:
        super().__init__(parameters)
        if self.number("memory") <= 0:
            raise ValueError("recently-viewed: memory must be positive")

    def fit(self, dataset: Dataset, *, rng: np.random.Generator) -> Arrays:
        """Only how many items there are."""
        return {"n_items": np.array([dataset.n_items])}

    def score(self, arrays: Arrays, profile: Profile) -> Scores:
        """Nothing but the profile's own items."""
        scores: Scores = np.full(int(arrays["n_items"][0]), NO_SCORE, dtype=np.float32)
        scores[profile.items] = weights_of(np.arange(profile.items.size)[::-1], self.number("memory"))
        return scores
