"""Over a follow graph: people you may know, and items that friends like.

A follow is an interaction whose item is a person: its item id is the followed one's user id. So a follow graph is a
data set like any other, and a new follow counts in the next slate.

Common neighbours and Adamic–Adar: Liben-Nowell & Kleinberg 2007, "The link-prediction problem for social networks"
(Adamic & Adar 2003: a common friend with few friends says more, 1 / ln degree); personalized PageRank: Page et al.
1999, section 6, with restart at the people somebody follows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from recommender.algorithms.base import NO_SCORE, Algorithm, Anchor, Capabilities, Parameters, Profile, gather
from recommender.algorithms.neighbours import without_zero
from recommender.dataset import to_csr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from recommender.algorithms.base import Arrays, Scores
    from recommender.dataset import Csr, Dataset

METHODS = ("adamic-adar", "common-neighbours", "pagerank")


class _Social(Algorithm):
    """Items that are people, and what each of them chose: a CSR by item index, empty rows for things."""

    def _graph(self, dataset: Dataset) -> tuple[Csr, NDArray[np.bool_]]:
        """Row i: what the person with item index i chose. And which items are people."""
        self.require_interactions(dataset)
        place = {name: index for index, name in enumerate(dataset.item_ids.tolist())}
        item_of = np.array([place.get(name, -1) for name in dataset.user_ids.tolist()], dtype=np.int64)
        is_person = np.zeros(dataset.n_items, dtype=bool)
        is_person[item_of[item_of >= 0]] = True
        positives = dataset.positives()
        followed = np.zeros(dataset.n_items, dtype=bool)
        followed[positives.items] = True
        if not (is_person & followed).any():
            raise ValueError(f"{self.key}: no item of the data set is a person (an item id that is a user id)")
        rows = item_of[positives.users]
        known = rows >= 0
        ones = np.ones(int(known.sum()), dtype=np.float32)
        size = dataset.n_items
        graph = to_csr(rows[known].astype(np.int32), positives.items[known], ones, shape=(size, size))
        graph.data = np.ones_like(graph.data)
        return graph, is_person


class PeopleYouMayKnow(_Social):
    """Followed by those whom somebody follows, and not yet by them."""

    key: ClassVar[str] = "people-you-may-know"
    capabilities: ClassVar[Capabilities] = Capabilities(explains=True, people=True)
    defaults: ClassVar[Parameters] = {"method": "adamic-adar", "damping": 0.85, "steps": 10}

    def __init__(self, parameters: Parameters | None = None) -> None:
        super().__init__(parameters)
        if self.parameters["method"] not in METHODS:
            raise ValueError(f"{self.key}: method must be one of {', '.join(METHODS)}")
        if not 0 < self.number("damping") < 1 or self.count("steps") < 1:
            raise ValueError(f"{self.key}: damping must lie between 0 and 1, and steps be at least 1")

    def fit(self, dataset: Dataset, *, rng: np.random.Generator) -> Arrays:
        """Who is tied to whom, in either direction: a tie is a tie."""
        graph, is_person = self._graph(dataset)
        ties: Csr = (graph + graph.T).tocsr()
        rows = np.repeat(np.arange(ties.shape[0]), np.diff(ties.indptr))
        kept = is_person[rows] & is_person[ties.indices]
        ties = to_csr(rows[kept], ties.indices[kept], np.ones(int(kept.sum()), dtype=np.float32), shape=ties.shape)
        return {"tie_start": ties.indptr.astype(np.int64), "tie_person": ties.indices.astype(np.int32)}

    def score(self, arrays: Arrays, profile: Profile) -> Scores:
        """By method; people only."""
        start = arrays["tie_start"]
        degrees = np.diff(start)
        friends = profile.items[degrees[profile.items] > 0]
        if friends.size == 0:
            return np.full(degrees.size, NO_SCORE, dtype=np.float32)
        if self.parameters["method"] == "pagerank":
            return without_zero(self._pagerank(arrays, degrees, friends))
        positions, owner = gather(start, friends)
        gains = self._worth(degrees[friends])[owner]
        return without_zero(np.bincount(arrays["tie_person"][positions], weights=gains, minlength=degrees.size))

    def explain(self, arrays: Arrays, profile: Profile, item: int) -> Sequence[Anchor]:
        """The people in common."""
        start, degrees = arrays["tie_start"], np.diff(arrays["tie_start"])
        tied = arrays["tie_person"][int(start[item]) : int(start[item + 1])]
        common = profile.items[np.isin(profile.items, tied)]
        gains = self._worth(degrees[common])
        return tuple(Anchor(int(common[at]), float(gains[at])) for at in np.argsort(-gains, kind="stable"))

    def _worth(self, degrees: NDArray[np.int64]) -> NDArray[np.float64]:
        """1 / ln degree; someone with one tie only would be worth infinitely much: counted as two."""
        if self.parameters["method"] == "common-neighbours":
            return np.ones(degrees.size)
        return 1.0 / np.log(np.maximum(degrees, 2))

    def _pagerank(self, arrays: Arrays, degrees: NDArray[np.int64], friends: NDArray[np.int32]) -> NDArray[np.float64]:
        """Power iteration p ← (1 − d) · restart + d · Wᵀ p, walkers of people without ties restart."""
        damping, n = self.number("damping"), degrees.size
        restart = np.bincount(friends, minlength=n) / friends.size
        owner = np.repeat(np.arange(n), degrees)
        rank = restart.copy()
        for _step in range(self.count("steps")):
            shares = rank / np.maximum(degrees, 1)
            walked = np.bincount(arrays["tie_person"], weights=shares[owner], minlength=n)
            rank = (1.0 - damping * float(walked.sum())) * restart + damping * walked
        return rank


class FriendsLike(_Social):
    """Things chosen by the people somebody follows; who chooses everything says less, 1 / √(their choices)."""

    key: ClassVar[str] = "friends-like"
    capabilities: ClassVar[Capabilities] = Capabilities(explains=True, people=True)

    def fit(self, dataset: Dataset, *, rng: np.random.Generator) -> Arrays:
        """What each followed person chose that is not a person."""
        graph, is_person = self._graph(dataset)
        rows = np.repeat(np.arange(graph.shape[0]), np.diff(graph.indptr))
        kept = ~is_person[graph.indices]
        likes = to_csr(rows[kept], graph.indices[kept], np.ones(int(kept.sum()), dtype=np.float32), shape=graph.shape)
        return {"like_start": likes.indptr.astype(np.int64), "like_item": likes.indices.astype(np.int32)}

    def score(self, arrays: Arrays, profile: Profile) -> Scores:
        """Σ over friends who chose it."""
        start = arrays["like_start"]
        positions, owner = gather(start, profile.items)
        gains = _say(start, profile.items)[owner]
        return without_zero(np.bincount(arrays["like_item"][positions], weights=gains, minlength=start.size - 1))

    def explain(self, arrays: Arrays, profile: Profile, item: int) -> Sequence[Anchor]:
        """The friends who chose it."""
        positions, owner = gather(arrays["like_start"], profile.items)
        friends = profile.items[owner[arrays["like_item"][positions] == item]]
        gains = _say(arrays["like_start"], friends)
        return tuple(Anchor(int(friends[at]), float(gains[at])) for at in np.argsort(-gains, kind="stable"))


def _say(start: NDArray[np.int64], people: NDArray[np.int32]) -> NDArray[np.float64]:
    return 1.0 / np.sqrt(np.maximum(np.diff(start)[people], 1))
