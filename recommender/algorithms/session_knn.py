"""Session-kNN: what followed in sessions like this one (Jannach & Ludewig 2017; Ludewig & Jannach 2018, "V-SkNN").

The last items of the profile are the question, the newest weighing most. A session's likeness is the weight of what
both have, divided by the root of its length; a neighbour's items count by their distance from the last item in common.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from recommender.algorithms.association import session_numbers
from recommender.algorithms.base import NO_SCORE, Algorithm, Capabilities, gather
from recommender.algorithms.neighbours import without_zero
from recommender.algorithms.recency import weights_of

if TYPE_CHECKING:
    from recommender.algorithms.base import Arrays, Parameters, Profile, Scores
    from recommender.dataset import Dataset


class SessionKNN(Algorithm):
    """For news, music and shops with short visits. Needs real times, else one session is one person."""

    key: ClassVar[str] = "session-knn"
    capabilities: ClassVar[Capabilities] = Capabilities(reason="similar_people")
    defaults: ClassVar[Parameters] = {"neighbours": 100, "window": 10, "memory": 3.0, "reach": 10.0, "gap_hours": 0.0}

    def __init__(self, parameters: Parameters | None = None) -> None:
        super().__init__(parameters)
        if self.count("window") < 1 or self.number("memory") <= 0 or self.number("reach") <= 0:
            raise ValueError("session-knn: window must be at least 1, memory and reach positive")

    def fit(self, dataset: Dataset, *, rng: np.random.Generator) -> Arrays:
        """Sessions in order, and for each item the places where it stands."""
        self.require_interactions(dataset)
        positives = dataset.positives()
        sessions = session_numbers(positives, gap_hours=self.number("gap_hours"))
        by_item = np.argsort(positives.items, kind="stable")
        n_sessions = int(sessions[-1]) + 1
        return {
            "session_start": np.searchsorted(sessions, np.arange(n_sessions + 1)).astype(np.int64),
            "session_item": positives.items.astype(np.int32),
            "place_session": sessions,
            "item_start": np.searchsorted(positives.items[by_item], np.arange(dataset.n_items + 1)).astype(np.int64),
            "item_place": by_item.astype(np.int64),
        }

    def score(self, arrays: Arrays, profile: Profile) -> Scores:
        """Two passes over postings: likeness of sessions, then what their items gather."""
        n_items = arrays["item_start"].size - 1
        recent = profile.items[-self.count("window") :]
        found, owner = gather(arrays["item_start"], recent)
        places = arrays["item_place"][found]
        sessions = arrays["place_session"][places]
        if sessions.size == 0:
            return np.full(n_items, NO_SCORE, dtype=np.float32)
        weights = weights_of(np.arange(recent.size)[::-1], self.number("memory"))
        touched, inverse = np.unique(sessions, return_inverse=True)
        lengths = np.diff(arrays["session_start"])[touched]
        likeness = np.bincount(inverse, weights=weights[owner]) / np.sqrt(lengths)
        last = np.zeros(touched.size, dtype=np.int64)
        np.maximum.at(last, inverse, places)
        useful = np.flatnonzero(lengths > np.bincount(inverse))  # others have nothing to add, oneself first of all
        nearest = useful[np.argsort(-likeness[useful], kind="stable")[: self.count("neighbours")]]
        positions, row = gather(arrays["session_start"], touched[nearest])
        near = np.exp(-np.abs(positions - last[nearest][row]) / self.number("reach"))
        gains = likeness[nearest][row] * near
        return without_zero(np.bincount(arrays["session_item"][positions], weights=gains, minlength=n_items))
