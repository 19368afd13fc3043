"""What all factor models share: a person's vector, and inner products with the vectors of items.

Exact search is the default: 50,000 items take 2 ms. An approximate index is an option that must prove itself where it
is built (`index.py`); a model that carries one scores only what the index finds.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from recommender.algorithms.base import NO_SCORE, Algorithm, Parameters, top_k_rows
from recommender.algorithms.index import EXACT, INDEXES, build_index, search

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recommender.algorithms.base import Arrays, Profile, Scores
    from recommender.dataset import Csr, Dataset

FACTORS, KNOWN = "factors", "known"
"""Names of the arrays: item vectors M × f, and which items have one."""

CELLS = 2_000_000
"""People × items whose scores are made at a time: 8 MB."""

SAMPLE = 500
"""People whose vectors an index is tried on."""


class FactorModel(Algorithm):
    """A subclass says how people become vectors, one (`person`) and many (`people`)."""

    def __init__(self, parameters: Parameters | None = None) -> None:
        super().__init__(parameters)
        if self.parameters["index"] not in INDEXES:
            raise ValueError(f"{self.key}: index must be one of {', '.join(INDEXES)}")

    @abstractmethod
    def person(self, arrays: Arrays, profile: Profile) -> NDArray[np.float32] | None:
        """Their vector; None for somebody of whom nothing is known."""

    @abstractmethod
    def people(self, arrays: Arrays, profiles: Csr) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Vectors n × f, and who has one."""

    def score(self, arrays: Arrays, profile: Profile) -> Scores:
        """Inner products with all items, or with those that the index finds."""
        person = self.person(arrays, profile)
        if person is None:
            return np.full(arrays[KNOWN].size, NO_SCORE, dtype=np.float32)
        if "index" in arrays:
            return self._found(arrays, person[None, :]).ravel()
        scores: Scores = np.where(arrays[KNOWN], arrays[FACTORS] @ person, NO_SCORE).astype(np.float32)
        return scores

    def score_block(self, arrays: Arrays, profiles: Csr) -> Scores:
        """One product for all."""
        return self._scores(arrays, *self.people(arrays, profiles))

    def rank_block(self, arrays: Arrays, profiles: Csr, seen: Csr, k: int) -> NDArray[np.int32]:
        """All people at once, their scores in parts; these belong to nobody else and are masked in place."""
        people, known = self.people(arrays, profiles)
        step = max(1, CELLS // max(1, arrays[KNOWN].size))
        lists = np.full((profiles.shape[0], k), -1, dtype=np.int32)
        for first in range(0, profiles.shape[0], step):
            rows = slice(first, first + step)
            scores, part = self._scores(arrays, people[rows], known[rows]), seen[rows]
            scores[np.repeat(np.arange(part.shape[0]), np.diff(part.indptr)), part.indices] = NO_SCORE
            lists[rows] = top_k_rows(scores, k)
        return lists

    def with_index(self, arrays: Arrays, dataset: Dataset, *, rng: np.random.Generator) -> Arrays:
        """Adds the index that the parameters ask for; raises ValueError when it finds too little."""
        if self.parameters["index"] == EXACT:
            return arrays
        profiles = dataset.positives().profiles()
        rows = np.flatnonzero(np.diff(profiles.indptr) > 0)
        sample = np.sort(rng.choice(rows, size=min(SAMPLE, rows.size), replace=False))
        people, known = self.people(arrays, profiles[sample])
        return arrays | build_index(
            arrays[FACTORS], arrays[KNOWN], people[known], kind=str(self.parameters["index"]), owner=self.key
        )

    def _scores(self, arrays: Arrays, people: NDArray[np.float32], known: NDArray[np.bool_]) -> Scores:
        if "index" in arrays:
            scores = self._found(arrays, people)
        else:
            scores = people @ arrays[FACTORS].T
            if not arrays[KNOWN].all():
                scores += np.where(arrays[KNOWN], np.float32(0), NO_SCORE)
        scores[~known] = NO_SCORE
        return scores

    def _found(self, arrays: Arrays, people: NDArray[np.float32]) -> Scores:
        items = search(arrays, people)
        rows = np.arange(items.shape[0])[:, None]
        scores: Scores = np.full((items.shape[0], arrays[KNOWN].size), NO_SCORE, dtype=np.float32)
        scores[rows, items] = np.einsum("nkf,nf->nk", arrays[FACTORS][items], people)
        return scores
