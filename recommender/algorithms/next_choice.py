"""Next choice: a multinomial logit over items, given the set of items somebody has.

Every interaction is once the answer, with the person's other items as the question (leave one out); the likelihood is
the softmax over the items they do not have (McFadden 1974; Liang et al. 2018, "Variational autoencoders for
collaborative filtering", eq. 2, for the multinomial likelihood in recommending). Fitted by AdaGrad (Duchi et al. 2011).
One weight per pair of items: for catalogues of some hundred items with short histories (pages of a site, a small shop),
where it knows what a least-squares model cannot: how likely the choice is at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from recommender.algorithms.base import NO_SCORE, Algorithm, Anchor, Capabilities, gather
from recommender.algorithms.ease import most_chosen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from recommender.algorithms.base import Arrays, Parameters, Profile, Scores
    from recommender.dataset import Csr, Dataset

BATCH = 512
FLOOR = 1e-8
"""Start of AdaGrad's sums of squares."""


class NextChoice(Algorithm):
    """Scores are probabilities of being chosen next; items of the profile get none."""

    key: ClassVar[str] = "next-choice"
    capabilities: ClassVar[Capabilities] = Capabilities(explains=True)
    defaults: ClassVar[Parameters] = {"epochs": 8, "step": 0.3, "decay": 1e-5, "max_items": 1_000}

    def fit(self, dataset: Dataset, *, rng: np.random.Generator) -> Arrays:
        """Stochastic gradients over all interactions of people with at least two items."""
        self.require_interactions(dataset)
        matrix = dataset.positives().matrix()
        head = most_chosen(matrix, self.count("max_items"))
        chosen = matrix[:, head].sorted_indices()
        weights, prior = self._learn(chosen, rng)
        place = np.full(dataset.n_items, -1, dtype=np.int32)
        place[head] = np.arange(head.size)
        return {"weights": weights, "prior": prior, "head": head, "place": place}

    def score(self, arrays: Arrays, profile: Profile) -> Scores:
        """Softmax of prior + mean-scaled weights, over the head's items that the person does not have."""
        scores: Scores = np.full(arrays["place"].size, NO_SCORE, dtype=np.float32)
        places = arrays["place"][profile.items]
        places = places[places >= 0]
        if places.size:
            logits = arrays["prior"] + arrays["weights"][places].sum(axis=0) / np.sqrt(places.size)
            scores[arrays["head"]] = _softmax(logits[None, :], np.zeros(places.size, dtype=np.intp), places)[0]
            scores[profile.items] = NO_SCORE
        return scores

    def score_block(self, arrays: Arrays, profiles: Csr) -> Scores:
        """One product of a sparse with a dense matrix."""
        head = profiles[:, arrays["head"]]
        counts = np.diff(head.indptr)
        rows = np.repeat(np.arange(counts.size), counts)
        head.data = (1.0 / np.sqrt(counts[rows])).astype(np.float32)
        scores: Scores = np.full(profiles.shape, NO_SCORE, dtype=np.float32)
        scores[:, arrays["head"]] = _softmax(arrays["prior"] + head @ arrays["weights"], rows, head.indices)
        scores[counts == 0] = NO_SCORE
        scores[np.repeat(np.arange(counts.size), np.diff(profiles.indptr)), profiles.indices] = NO_SCORE
        return scores

    def explain(self, arrays: Arrays, profile: Profile, item: int) -> Sequence[Anchor]:
        """Items of the profile by how much they raise this item's logit."""
        target = int(arrays["place"][item])
        places = arrays["place"][profile.items]
        known = np.flatnonzero(places >= 0)
        if target < 0 or known.size == 0:
            return ()
        gains = arrays["weights"][places[known], target] / np.sqrt(known.size)
        order = np.argsort(-gains, kind="stable")
        return tuple(Anchor(int(profile.items[known[at]]), float(gains[at])) for at in order if gains[at] > 0)

    def _learn(self, chosen: Csr, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        n_items = chosen.shape[1]
        counts = np.diff(chosen.indptr)
        owners = np.repeat(np.arange(counts.size), counts)
        several = counts[owners] > 1
        people, answers = owners[several], chosen.indices[several]
        popularity = np.bincount(chosen.indices, minlength=n_items) + 1.0
        prior: NDArray[np.float32] = np.log(popularity / popularity.sum()).astype(np.float32)
        weights = np.zeros((n_items, n_items), dtype=np.float32)
        weight_squares, prior_squares = np.full_like(weights, FLOOR), np.full_like(prior, FLOOR)
        step, decay = np.float32(self.number("step")), np.float32(self.number("decay"))
        for _epoch in range(self.count("epochs")):
            order = rng.permutation(people.size)
            for first in range(0, people.size, BATCH):
                rows = order[first : first + BATCH]
                questions, asked, had = _questions(chosen, people[rows], answers[rows])
                errors = _softmax(prior + questions @ weights, asked, had)
                errors[np.arange(rows.size), answers[rows]] -= 1.0
                gradient = (questions.T @ errors) / np.float32(rows.size) + decay * weights
                weight_squares += gradient**2
                weights -= step * gradient / np.sqrt(weight_squares)
                drift = errors.mean(axis=0, dtype=np.float32)
                prior_squares += drift**2
                prior -= step * drift / np.sqrt(prior_squares)
        return weights, prior


def _questions(
    chosen: Csr, people: NDArray[np.intp], answers: NDArray[np.int32]
) -> tuple[Csr, NDArray[np.intp], NDArray[np.int32]]:
    """Each person's items without the answer, scaled to one unit of length; and its (row, item) pairs."""
    from scipy.sparse import csr_matrix

    positions, rows = gather(chosen.indptr, people)
    items = chosen.indices[positions]
    keep = items != answers[rows]
    rows, items = rows[keep], items[keep]
    counts = np.bincount(rows, minlength=people.size)
    scaled = (1.0 / np.sqrt(counts[rows])).astype(np.float32)
    start = np.append(0, np.cumsum(counts))
    questions: Csr = csr_matrix((scaled, items, start), shape=(people.size, chosen.shape[1]))
    return questions, rows, items


def _softmax(logits: NDArray[np.float32], rows: NDArray[np.intp], had: NDArray[np.int32]) -> NDArray[np.float32]:
    """Row-wise probabilities of all items but those a person has, at (rows, had)."""
    logits = np.array(logits, dtype=np.float32)
    logits[rows, had] = NO_SCORE
    highest = logits.max(axis=1, keepdims=True)
    odds = np.exp(logits - np.where(np.isfinite(highest), highest, np.float32(0)))
    total = odds.sum(axis=1, keepdims=True)
    return (odds / np.where(total > 0, total, 1)).astype(np.float32)
