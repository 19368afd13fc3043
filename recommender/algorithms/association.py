"""Frequently bought together: association rules i → j over baskets, with support and lift.

Agrawal, Imieliński & Swami 1993 for support and confidence, Brin et al. 1997 for lift: P(i, j) / (P(i) · P(j)), above 1
where two items come together more often than by chance. A rule needs `min_support` baskets and a lift above `min_lift`;
what is left weighs its confidence P(j | i), times ln(lift) with `weighting="lift"`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from recommender.algorithms.base import Algorithm, Capabilities
from recommender.algorithms.neighbours import (
    explain_neighbours,
    rank_neighbours_block,
    score_neighbours,
    score_neighbours_block,
    top_neighbours,
)
from recommender.dataset import to_csr

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recommender.algorithms.base import Anchor, Arrays, Parameters, Profile, Scores
    from recommender.dataset import Csr, Dataset

MICROSECONDS_PER_HOUR = 3_600 * 1_000_000
WEIGHTINGS = ("confidence", "lift")


class BoughtTogether(Algorithm):
    """A basket is what one person chose with pauses shorter than `gap_hours`; 0: everything they ever chose."""

    key: ClassVar[str] = "bought-together"
    capabilities: ClassVar[Capabilities] = Capabilities(explains=True)
    defaults: ClassVar[Parameters] = {
        "weighting": "lift",
        "gap_hours": 1.0,
        "min_support": 2,
        "min_lift": 1.0,
        "neighbours": 50,
    }

    def __init__(self, parameters: Parameters | None = None) -> None:
        super().__init__(parameters)
        if self.parameters["weighting"] not in WEIGHTINGS:
            raise ValueError(f"{self.key}: weighting must be one of {', '.join(WEIGHTINGS)}")

    def fit(self, dataset: Dataset, *, rng: np.random.Generator) -> Arrays:
        """Counts pairs by a sparse product, block by block, and keeps each item's strongest rules."""
        self.require_interactions(dataset)
        positives = dataset.positives()
        baskets = session_numbers(positives, gap_hours=self.number("gap_hours"))
        n_baskets = int(baskets.max(initial=-1)) + 1
        ones = np.ones(baskets.size, dtype=np.float32)
        matrix = to_csr(baskets, positives.items, ones, shape=(n_baskets, dataset.n_items))
        matrix.data = np.ones_like(matrix.data)
        counts = np.bincount(matrix.indices, minlength=dataset.n_items).astype(np.float64)

        def to_rules(block: Csr, first: int) -> None:
            rows = np.repeat(np.arange(first, first + block.shape[0]), np.diff(block.indptr))
            block.data = self._rules(block.data, counts[rows], counts[block.indices], n_baskets)

        by_item: Csr = matrix.T.tocsr()
        return top_neighbours(by_item, matrix, neighbours=self.count("neighbours"), adjust=to_rules)

    def score(self, arrays: Arrays, profile: Profile) -> Scores:
        """The sum of the rules of what is in the basket."""
        return score_neighbours(arrays, profile)

    def score_block(self, arrays: Arrays, profiles: Csr) -> Scores:
        """One sparse product."""
        return score_neighbours_block(arrays, profiles)

    def rank_block(self, arrays: Arrays, profiles: Csr, seen: Csr, k: int) -> NDArray[np.int32]:
        """The same product, never dense."""
        return rank_neighbours_block(arrays, profiles, seen, k)

    def explain(self, arrays: Arrays, profile: Profile, item: int) -> tuple[Anchor, ...]:
        """The items whose rules lead to this one."""
        return tuple(explain_neighbours(arrays, profile, item))

    def _rules(
        self, both: NDArray[np.float32], first: NDArray[np.float64], second: NDArray[np.float64], n: int
    ) -> NDArray[np.float32]:
        confidence = both / first
        lift = confidence * n / second
        kept = (both >= self.number("min_support")) & (lift > self.number("min_lift"))
        weight = confidence * np.log(np.maximum(lift, 1.0)) if self.parameters["weighting"] == "lift" else confidence
        return np.where(kept, weight, 0.0).astype(np.float32)


def session_numbers(dataset: Dataset, *, gap_hours: float) -> NDArray[np.int32]:
    """For each interaction the number of its session: a new one for a new person, and after a pause of `gap_hours`."""
    starts = np.ones(dataset.n_interactions, dtype=bool)
    starts[1:] = dataset.users[1:] != dataset.users[:-1]
    if gap_hours > 0:
        starts[1:] |= np.diff(dataset.at) > gap_hours * MICROSECONDS_PER_HOUR
    return (np.cumsum(starts) - 1).astype(np.int32)
