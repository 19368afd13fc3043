"""Two towers: people and items become vectors from what they did and what is known of them; retrieval is a product.

Yi et al. 2019, "Sampling-bias-corrected neural modeling for large corpus item recommendations": every interaction is an
answer, the answers of the other people of its batch are the wrong ones, and their logits are lowered by the logarithm
of how often each item is drawn (logQ). Without that correction popular items are punished for being met often: on films
NDCG@10 was 0.053 without and 0.106 with it (20 epochs), where popularity has 0.079.

Here both towers are linear (sums of embeddings, of ids and of descriptions), so that numpy and scipy train them:
person = Σ F_i / √n over the other items of the history + Σ G_t over the person's tokens, item = E_j + Σ T_t / √tokens.
Row-wise AdaGrad (Duchi et al. 2011). An item without an interaction has the vector of its description.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from recommender.algorithms.base import Anchor, Capabilities, Parameters, Profile, gather
from recommender.algorithms.factors import FACTORS, KNOWN, FactorModel
from recommender.algorithms.index import EXACT
from recommender.algorithms.recency import faded, faded_rows
from recommender.dataset import token_matrix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from recommender.algorithms.base import Arrays
    from recommender.dataset import Csr, Dataset

FLOOR = 1e-6
"""Start of AdaGrad's sums of squares."""

START = 0.05
"""Standard deviation of an embedding before training."""


@dataclass(slots=True)
class _Table:
    """Embeddings with their AdaGrad sums, one per row."""

    rows: NDArray[np.float32]
    squares: NDArray[np.float32]
    step: np.float32
    decay: np.float32

    @classmethod
    def new(cls, count: int, factors: int, rng: np.random.Generator, *, step: float, decay: float) -> _Table:
        rows = (START * rng.standard_normal((count, factors))).astype(np.float32)
        return cls(rows, np.full(count, FLOOR, dtype=np.float32), np.float32(step), np.float32(decay))

    def learn(self, inputs: Csr, gradient: NDArray[np.float32]) -> None:
        """One step down: `inputs` say how much of each row every example was made of."""
        touched = np.unique(inputs.indices)
        slope = np.asarray(inputs[:, touched].T @ gradient) + self.decay * self.rows[touched]
        self.squares[touched] += (slope**2).mean(axis=1)
        self.rows[touched] -= self.step * slope / np.sqrt(self.squares[touched])[:, None]


class TwoTower(FactorModel):
    """For catalogues with descriptions and people with attributes; the matrix form, in numpy and scipy."""

    key: ClassVar[str] = "two-tower"
    capabilities: ClassVar[Capabilities] = Capabilities(explains=True, cold_items=True, user_tokens=True)
    defaults: ClassVar[Parameters] = {
        "factors": 32,
        "epochs": 10,
        "batch": 512,
        "step": 0.1,
        "decay": 1e-4,
        "correct": True,
        "max_history": 50,
        "memory": 0.0,
        "index": EXACT,
    }

    def fit(self, dataset: Dataset, *, rng: np.random.Generator) -> Arrays:
        """Learns four tables of embeddings and stores what serving needs of them."""
        self.require_interactions(dataset)
        positives = dataset.positives()
        of_items, of_people = (
            _features(dataset.tokens, dataset.n_items),
            _features(dataset.user_tokens, dataset.n_users),
        )
        tables = {
            name: _Table.new(count, self.count("factors"), rng, step=self.number("step"), decay=self.number("decay"))
            for name, count in (
                ("item", dataset.n_items),
                ("history", dataset.n_items),
                ("item_token", of_items.matrix.shape[1]),
                ("person_token", of_people.matrix.shape[1]),
            )
        }
        self._train(positives, tables, of_items.matrix, of_people.matrix, rng)
        chosen = np.bincount(positives.items, minlength=dataset.n_items) > 0
        described = np.diff(of_items.matrix.indptr) > 0
        own = np.where(chosen[:, None], tables["item"].rows, np.float32(0))
        arrays: Arrays = {
            FACTORS: (own + of_items.matrix @ tables["item_token"].rows).astype(np.float32),
            KNOWN: chosen | described,
            "history": np.where(chosen[:, None], tables["history"].rows, np.float32(0)),
            "chosen": chosen,
            "person_token": tables["person_token"].rows,
            "person_tokens": np.array(of_people.names) if of_people.names else np.empty(0, dtype="<U1"),
        }
        return self.with_index(arrays, dataset, rng=rng)

    def person(self, arrays: Arrays, profile: Profile) -> NDArray[np.float32] | None:
        """Sums of embeddings of what is known; None where that is nothing."""
        recent = faded(self._recent(profile), self.number("memory"))
        known = arrays["chosen"][recent.items]
        tokens = np.flatnonzero(np.isin(arrays["person_tokens"], profile.tokens)) if profile.tokens else ()
        if not known.any() and not len(tokens):
            return None
        vector: NDArray[np.float32] = np.zeros(arrays[FACTORS].shape[1], dtype=np.float32)
        if known.any():
            weights = recent.weights[known]
            vector += weights @ arrays["history"][recent.items[known]] / np.sqrt((weights**2).sum())
        if len(tokens):
            vector += arrays["person_token"][tokens].sum(axis=0) / np.float32(np.sqrt(len(tokens)))
        return vector

    def people(self, arrays: Arrays, profiles: Csr) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """One sparse product; descriptions of people count where one person is asked for."""
        recent = faded_rows(_newest(profiles, self.count("max_history")), self.number("memory"))
        recent.data = recent.data * arrays["chosen"][recent.indices]
        lengths = np.sqrt(np.asarray(recent.multiply(recent).sum(axis=1)).ravel())
        vectors = (recent @ arrays["history"]) / np.where(lengths > 0, lengths, 1)[:, None]
        return vectors.astype(np.float32), lengths > 0

    def explain(self, arrays: Arrays, profile: Profile, item: int) -> Sequence[Anchor]:
        """The share of each item of the history in the product."""
        recent = faded(self._recent(profile), self.number("memory"))
        gains = (arrays["history"][recent.items] @ arrays[FACTORS][item]) * recent.weights
        order = np.argsort(-gains, kind="stable")
        return tuple(Anchor(int(recent.items[at]), float(gains[at])) for at in order if gains[at] > 0)

    def _recent(self, profile: Profile) -> Profile:
        most = self.count("max_history")
        return Profile(profile.items[-most:], profile.weights[-most:], profile.tokens)

    def _train(
        self, positives: Dataset, tables: dict[str, _Table], of_items: Csr, of_people: Csr, rng: np.random.Generator
    ) -> None:
        histories = _newest(positives.profiles(), self.count("max_history"))
        identity = _one_hot(np.arange(positives.n_items), positives.n_items)
        drawn = np.bincount(positives.items, minlength=positives.n_items) / max(positives.n_interactions, 1)
        log_q = np.log(np.maximum(drawn, 1e-12)).astype(np.float32) * self.number("correct")
        for _epoch in range(self.count("epochs")):
            order = rng.permutation(positives.n_interactions)
            for first in range(0, order.size, self.count("batch")):
                rows = order[first : first + self.count("batch")]
                people, answers = positives.users[rows], positives.items[rows]
                questions = without_answers(histories, people, answers)
                inputs = {
                    "history": questions,
                    "person_token": of_people[people],
                    "item": identity[answers],
                    "item_token": of_items[answers],
                }
                user = questions @ tables["history"].rows + inputs["person_token"] @ tables["person_token"].rows
                item = tables["item"].rows[answers] + inputs["item_token"] @ tables["item_token"].rows
                errors = softmax_errors(user @ item.T - log_q[answers][None, :], answers, histories, people)
                for name, gradient in (
                    ("history", errors @ item),
                    ("person_token", errors @ item),
                    ("item", errors.T @ user),
                    ("item_token", errors.T @ user),
                ):
                    tables[name].learn(inputs[name], gradient)


@dataclass(frozen=True, slots=True)
class _Features:
    """Rows × tokens with rows of length 1, and the tokens."""

    matrix: Csr
    names: tuple[str, ...]


def _features(tokens: Sequence[Sequence[str]], count: int) -> _Features:
    from scipy.sparse import csr_matrix

    if not any(tokens):
        nothing: Csr = csr_matrix(np.zeros((count, 0), dtype=np.float32))
        return _Features(nothing, ())
    matrix, names = token_matrix(tokens)
    sizes = np.sqrt(np.bincount(_owners(matrix), weights=matrix.data**2, minlength=count))
    matrix.data = (matrix.data / sizes[_owners(matrix)]).astype(np.float32)
    return _Features(matrix, names)


def _owners(matrix: Csr) -> NDArray[np.intp]:
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))


def _newest(profiles: Csr, most: int) -> Csr:
    """The last `most` items of each row (rows are oldest first)."""
    ends = np.repeat(profiles.indptr[1:], np.diff(profiles.indptr))
    kept = ends - np.arange(profiles.indices.size) <= most
    result = profiles.copy()
    result.data, result.indices = profiles.data[kept], profiles.indices[kept]
    result.indptr = np.append(0, np.cumsum(np.minimum(np.diff(profiles.indptr), most))).astype(profiles.indptr.dtype)
    return result


def _one_hot(columns: NDArray[np.signedinteger], width: int) -> Csr:
    from scipy.sparse import csr_matrix

    ones = np.ones(columns.size, dtype=np.float32)
    matrix: Csr = csr_matrix((ones, columns, np.arange(columns.size + 1)), shape=(columns.size, width))
    return matrix


def without_answers(histories: Csr, people: NDArray[np.int32], answers: NDArray[np.int32]) -> Csr:
    """Each person's other items, weights scaled to length 1: leave one out."""
    from scipy.sparse import csr_matrix

    positions, rows = gather(histories.indptr, people)
    keep = histories.indices[positions] != answers[rows]
    positions, rows = positions[keep], rows[keep]
    data = histories.data[positions]
    lengths = np.sqrt(np.bincount(rows, weights=data**2, minlength=people.size))
    start = np.append(0, np.cumsum(np.bincount(rows, minlength=people.size)))
    scaled = (data / lengths[rows]).astype(np.float32)
    questions: Csr = csr_matrix((scaled, histories.indices[positions], start), shape=(people.size, histories.shape[1]))
    return questions


def softmax_errors(
    logits: NDArray[np.float32], answers: NDArray[np.int32], histories: Csr, people: NDArray[np.int32]
) -> NDArray[np.float32]:
    """Softmax of the batch minus the answers, / batch. What a person has themselves is no wrong answer for them."""
    has = np.asarray(histories[people][:, answers].toarray() != 0)
    np.fill_diagonal(has, False)
    logits = np.where(has, np.float32(-1e9), logits)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    odds /= odds.sum(axis=1, keepdims=True)
    odds[np.diag_indices_from(odds)] -= 1.0
    errors: NDArray[np.float32] = (odds / np.float32(answers.size)).astype(np.float32)
    return errors
