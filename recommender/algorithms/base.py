"""The contract of every algorithm: learn arrays from a data set, score all items for one profile.

What was learned is a plain dict of numpy arrays, so that any model is stored as `.npz`, read without pickle,
memory-mapped, and served by a process that has imported numpy only. A plug-in is one subclass of `Algorithm` with
`fit` and `score`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from recommender.dataset import Csr, Dataset

Scores = NDArray[np.float32]
Arrays = dict[str, NDArray[Any]]
Value = float | int | str | bool
Parameters = Mapping[str, Value]

NO_SCORE = np.float32(-np.inf)
"""An item the algorithm has nothing to say about; it is never recommended by it."""


GROUPS = 512
"""Of a row of scores, whose maxima bound its k best: 50,000 items in groups of a hundred."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What one user did: item indices with weights, by last event, oldest first; an index appears once."""

    items: NDArray[np.int32]
    weights: NDArray[np.float32]
    tokens: tuple[str, ...] = ()
    """What is known of the person beside their history (`segment=vip`), where somebody is asked for by themselves."""

    @property
    def is_empty(self) -> bool:
        """True for somebody without history."""
        return self.items.size == 0


@dataclass(frozen=True, slots=True)
class Anchor:
    """An item of the profile that speaks for a recommended item, and how much of the score it gave."""

    item: int
    contribution: float


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What callers may rely on."""

    personalized: bool = True
    """False when somebody without any history gets scores (popularity)."""
    needs_interactions: bool = True
    """False when it can be trained without a single interaction."""
    needs_tokens: bool = False
    """True when it learns from descriptions of items."""
    user_tokens: bool = False
    """True when it goes by descriptions of people (the segments they are in), in training and in serving."""
    explains: bool = False
    """True when `explain` names items of the profile."""
    cold_items: bool = False
    """True when an item without a single interaction can get a score."""
    repeats: bool = False
    """True when it recommends what the person had: for strategies whose filters let seen items pass."""
    uniform: bool = False
    """True when every order is equally likely whatever the person did: for logging, and as a floor."""
    people: bool = False
    """True when its items are people, or come from the people somebody follows: it needs events that follow."""
    reason: Literal["because_of", "similar_people", "popular", "explored", "recent"] = "because_of"
    """What may honestly be said about an item it recommends."""


class Algorithm(ABC):
    """One way to recommend. Instances hold parameters only; what was learned travels as arrays."""

    key: ClassVar[str]
    capabilities: ClassVar[Capabilities] = Capabilities()
    defaults: ClassVar[Parameters] = {}

    uses_ratings: bool = False
    """True when low ratings carry information: its profiles are all ratings, not only what counts as liking."""

    def __init__(self, parameters: Parameters | None = None) -> None:
        self.parameters = merged(self.defaults, parameters or {}, owner=self.key)

    @abstractmethod
    def fit(self, dataset: Dataset, *, rng: np.random.Generator) -> Arrays:
        """Learns from the data set; raises ValueError when it cannot (no interaction at all, say)."""

    @abstractmethod
    def score(self, arrays: Arrays, profile: Profile) -> Scores:
        """Score of each of the M items for one profile, float32, no NaN, `NO_SCORE` where it has nothing to say."""

    def score_block(self, arrays: Arrays, profiles: Csr) -> Scores:
        """Scores of many profiles at once, n × M; rows equal `score`. Override it where a matrix product is faster."""
        return np.stack([self.score(arrays, profile) for profile in rows_of(profiles)])

    def rank_block(self, arrays: Arrays, profiles: Csr, seen: Csr, k: int) -> NDArray[np.int32]:
        """Lists of the `k` best items of each profile that are not in its row of `seen`, n × k, −1 where short."""
        scores = np.array(self.score_block(arrays, profiles))
        scores[np.repeat(np.arange(seen.shape[0]), np.diff(seen.indptr)), seen.indices] = NO_SCORE
        return top_k_rows(scores, k)

    def explain(self, arrays: Arrays, profile: Profile, item: int) -> Sequence[Anchor]:
        """The items of the profile that gave this item its score, strongest first; empty if it cannot say."""
        return ()

    def require_interactions(self, dataset: Dataset) -> None:
        """Refuses an empty data set: for algorithms that learn from nothing else."""
        if dataset.n_interactions == 0:
            raise ValueError(f"{self.key}: the data set has no interaction")

    def number(self, name: str) -> float:
        """A numeric parameter."""
        return float(self.parameters[name])

    def count(self, name: str) -> int:
        """A whole-number parameter."""
        return int(self.parameters[name])


def merged(defaults: Parameters, given: Parameters, *, owner: str) -> dict[str, Value]:
    """Defaults with the given values; unknown names and wrong kinds are refused.

    >>> merged({"k": 5}, {"k": 7}, owner="x")
    {'k': 7}
    """
    result = dict(defaults)
    for name, value in given.items():
        if name not in defaults:
            raise ValueError(f"{owner}: unknown parameter {name!r}; known are {', '.join(sorted(defaults)) or 'none'}")
        result[name] = _same_kind(defaults[name], value, label=f"{owner}: parameter {name!r}")
    return result


def _same_kind(default: Value, value: Value, *, label: str) -> Value:
    if isinstance(default, str) != isinstance(value, str) or isinstance(default, bool) != isinstance(value, bool):
        raise TypeError(f"{label} must be of the kind of {default!r}, got {value!r}")
    if isinstance(default, (str, bool)):
        return value
    if not np.isfinite(float(value)) or float(value) < 0:
        raise ValueError(f"{label} must be a finite number of at least 0, got {value!r}")
    if isinstance(default, int) and float(value) != int(value):
        raise TypeError(f"{label} must be a whole number, got {value!r}")
    return type(default)(value)


def rows_of(matrix: Csr) -> list[Profile]:
    """Each row of a CSR matrix as a profile."""
    return [
        Profile(
            items=matrix.indices[start:stop].astype(np.int32, copy=False),
            weights=matrix.data[start:stop].astype(np.float32, copy=False),
        )
        for start, stop in zip(matrix.indptr[:-1].tolist(), matrix.indptr[1:].tolist(), strict=True)
    ]


def top_k(scores: Scores, k: int) -> NDArray[np.intp]:
    """Indices of the k best scores, best first; ties go to the lower index; `NO_SCORE` is left out.

    >>> top_k(np.array([1.0, 3.0, 3.0, -np.inf], dtype=np.float32), 3).tolist()
    [1, 2, 0]
    """
    if k <= 0:
        return np.empty(0, dtype=np.intp)
    candidates = np.flatnonzero(scores > NO_SCORE)  # first: partitioning slows down where most values are equal
    if k < candidates.size:
        known = scores[candidates]
        candidates = candidates[known >= np.partition(known, known.size - k)[known.size - k]]
    return candidates[np.argsort(-scores[candidates], kind="stable")[:k]]


def top_k_rows(scores: Scores, k: int) -> NDArray[np.int32]:
    """`top_k` of every row, n × k, −1 where a row has fewer.

    >>> top_k_rows(np.array([[1.0, 3.0, 3.0, -np.inf]], dtype=np.float32), 4).tolist()
    [[1, 2, 0, -1]]
    """
    lists = np.full((scores.shape[0], k), -1, dtype=np.int32)
    if k <= 0 or scores.size == 0:
        return lists
    # Flat positions: np.nonzero of two dimensions costs as much as the product that made the scores.
    rows, columns = np.divmod(np.flatnonzero(scores >= _floors(scores, k)[:, None]), scores.shape[1])
    order = np.lexsort((columns, -scores[rows, columns], rows))
    rows, columns = rows[order], columns[order]
    place = np.arange(rows.size) - np.searchsorted(rows, np.arange(scores.shape[0]))[rows]
    best = place < k
    lists[rows[best], place[best]] = columns[best]
    return lists


def _floors(scores: Scores, k: int) -> NDArray[np.float32]:
    """For each row a value that at least k scores reach, or the smallest number where there are not so many.

    The k-th best of the maxima of disjoint groups is such a value, and one pass finds it: partitioning whole rows costs
    ten times as much. That more than a few scores reach it is unlikely, and would only take time.
    """
    groups = max(GROUPS, 8 * k)
    depth = scores.shape[1] // groups
    if depth < 2:
        groups, depth = scores.shape[1], 1
    smallest = np.finfo(np.float32).min
    if groups <= k:
        return np.full(scores.shape[0], smallest, dtype=np.float32)
    tops = scores[:, : groups * depth].reshape(-1, depth, groups).max(axis=1) if depth > 1 else scores
    kth: NDArray[np.float32] = np.partition(tops, groups - k, axis=1)[:, groups - k]
    return np.maximum(kth, smallest)


def gather(indptr: NDArray[Any], rows: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """Positions in a CSR's `indices` of all entries of `rows`, and for each the place of its row in `rows`.

    >>> positions, owner = gather(np.array([0, 2, 3, 5]), np.array([2, 0], dtype=np.int32))
    >>> positions.tolist(), owner.tolist()
    ([3, 4, 0, 1], [0, 0, 1, 1])
    """
    starts = indptr[rows]
    lengths = indptr[rows + 1] - starts
    owner = np.repeat(np.arange(rows.size), lengths)
    offsets = np.cumsum(lengths) - lengths
    positions = np.arange(int(lengths.sum())) - np.repeat(offsets - starts, lengths)
    return positions, owner
