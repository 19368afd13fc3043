"""Sequence-aware: what people choose shortly after the items somebody chose last (a Markov chain with memory).

Transitions i → j within `window` steps of a person's history count 1 / steps, and are divided by √(people of i ·
people of j), each plus `shrinkage`; a person's items weigh exp(−rank / memory), rank 0 being the newest (Garcin,
Dimitrakakis & Faltings 2013 for variable-order context; Ludewig & Jannach 2018 for how hard such simple methods are to
beat).
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
from recommender.algorithms.recency import ranks_of, weights_of
from recommender.dataset import to_csr

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recommender.algorithms.base import Anchor, Arrays, Parameters, Scores
    from recommender.dataset import Csr, Dataset


class NextInSequence(Algorithm):
    """For news, music, video, and anything else where the last thing matters most. Needs real times."""

    key: ClassVar[str] = "sequence"
    capabilities: ClassVar[Capabilities] = Capabilities(explains=True)
    defaults: ClassVar[Parameters] = {"window": 10, "memory": 5.0, "shrinkage": 5.0, "neighbours": 300}

    def __init__(self, parameters: Parameters | None = None) -> None:
        super().__init__(parameters)
        if self.count("window") < 1 or self.number("memory") <= 0:
            raise ValueError("sequence: window must be at least 1 and memory positive")

    def fit(self, dataset: Dataset, *, rng: np.random.Generator) -> Arrays:
        """One sparse matrix of transitions, cut to the strongest of each item."""
        from scipy.sparse import csr_matrix, diags_array, eye_array

        self.require_interactions(dataset)
        positives = dataset.positives()
        users, items = positives.users, positives.items
        n = dataset.n_items
        transitions = to_csr(users[:0], items[:0], positives.weights[:0], shape=(n, n))
        for steps in range(1, self.count("window") + 1):
            same = users[steps:] == users[:-steps]
            before, after = items[:-steps][same], items[steps:][same]
            weights = np.full(before.size, 1.0 / steps, dtype=np.float32)
            transitions = transitions + to_csr(before, after, weights, shape=(n, n))
        counts = np.bincount(items, minlength=n) + max(self.number("shrinkage"), 1e-3)
        scale = diags_array((1.0 / np.sqrt(counts)).astype(np.float32))
        scaled = csr_matrix(scale @ transitions @ scale)
        identity = csr_matrix(eye_array(n, dtype=np.float32, format="csr"))
        return top_neighbours(identity, scaled, neighbours=self.count("neighbours"))

    def score(self, arrays: Arrays, profile: Profile) -> Scores:
        """Σ exp(−rank / memory) · transition."""
        return score_neighbours(arrays, self._faded(profile))

    def score_block(self, arrays: Arrays, profiles: Csr) -> Scores:
        """One sparse product."""
        return score_neighbours_block(arrays, self._faded_rows(profiles))

    def rank_block(self, arrays: Arrays, profiles: Csr, seen: Csr, k: int) -> NDArray[np.int32]:
        """The same product, never dense."""
        return rank_neighbours_block(arrays, self._faded_rows(profiles), seen, k)

    def explain(self, arrays: Arrays, profile: Profile, item: int) -> tuple[Anchor, ...]:
        """Because you chose these lately."""
        return tuple(explain_neighbours(arrays, self._faded(profile), item))

    def _faded(self, profile: Profile) -> Profile:
        ranks = np.arange(profile.items.size)[::-1]
        return Profile(profile.items, weights_of(ranks, self.number("memory")))

    def _faded_rows(self, profiles: Csr) -> Csr:
        faded = profiles.copy()
        faded.data = weights_of(ranks_of(profiles), self.number("memory"))
        return faded
