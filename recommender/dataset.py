"""Interactions as arrays: opaque ids are mapped to integers at the edge, everything behind it sees indices.

Pure: numpy at import, scipy only inside the functions that fitting needs (the web process never calls them).
Shapes: U users, M items, N interactions. Times are int64 microseconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    Csr = csr_matrix[np.float32]

Aggregate = Literal["sum", "last"]

POSITIVE_SHARE = 0.8
"""A rating counts as liking from this share of the scale's top on: 4 of 5 stars, the usual reading of MovieLens."""

MICROSECONDS_PER_DAY = 86_400 * 1_000_000


class IdIndex:
    """Maps string ids to consecutive int32 indices, chunk by chunk."""

    __slots__ = ("_codes",)

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self._codes: dict[str, int] = {}
        for name in ids:
            self._codes.setdefault(name, len(self._codes))

    def encode(self, ids: NDArray[np.str_]) -> NDArray[np.int32]:
        """Indices of `ids`, adding unknown ones. Python work is per distinct id of the chunk, not per row.

        >>> index = IdIndex()
        >>> index.encode(np.array(["b", "a", "b"])).tolist()
        [1, 0, 1]
        """
        distinct, inverse = np.unique(ids, return_inverse=True)
        codes = self._codes
        mapped = np.fromiter(
            (codes.setdefault(name, len(codes)) for name in distinct.tolist()), dtype=np.int32, count=distinct.size
        )
        return mapped[inverse]

    def names(self) -> NDArray[np.str_]:
        """Ids by index."""
        return np.array(list(self._codes), dtype=np.str_) if self._codes else np.empty(0, dtype="<U1")


@dataclass(frozen=True, slots=True)
class Dataset:
    """Interactions of U users with M items, sorted by (user, at, item); items without any interaction may be in it."""

    user_ids: NDArray[np.str_]
    item_ids: NDArray[np.str_]
    users: NDArray[np.int32]
    items: NDArray[np.int32]
    weights: NDArray[np.float32]
    at: NDArray[np.int64]
    explicit: bool = False
    """True when a weight is a rating on a scale (a low one means dislike), False when it is a strength of interest."""
    tokens: tuple[tuple[str, ...], ...] = ()
    """Per item the tokens that describe it (`category=…`, `tag=…`, `word=…`); empty when nothing is known."""
    user_tokens: tuple[tuple[str, ...], ...] = ()
    """Per user what is known beside their history (`segment=…`); empty when nothing is."""
    vectors: NDArray[np.float32] | None = None
    """Per item a vector that a plug-in made of its text (an embedding), M × F; None without a plug-in."""

    @property
    def n_users(self) -> int:
        """U."""
        return int(self.user_ids.size)

    @property
    def n_items(self) -> int:
        """M."""
        return int(self.item_ids.size)

    @property
    def n_interactions(self) -> int:
        """N."""
        return int(self.users.size)

    @property
    def positive_from(self) -> float:
        """The smallest weight that counts as liking: 0.8 of the top for ratings, anything for implicit data."""
        if not self.explicit or self.weights.size == 0:
            return 0.0
        return POSITIVE_SHARE * float(self.weights.max())

    def matrix(self, *, aggregate: Aggregate | None = None) -> Csr:
        """U × M matrix. Ratings: the last one of a pair stands; implicit: weights add up."""
        rule = aggregate or ("last" if self.explicit else "sum")
        users, items, weights = self.users, self.items, self.weights
        if rule == "last":
            users, items, weights = _last_of_pair(users, items, weights)
        return to_csr(users, items, weights, shape=(self.n_users, self.n_items))

    def profiles(self) -> Csr:
        """`matrix()` with each row's items in the order of their last interaction, oldest first (indices unsorted)."""
        from scipy.sparse import csr_matrix

        order = np.lexsort((self.items, self.users))  # stable: equal pairs stay in time order
        users, items = self.users[order], self.items[order]
        first = np.ones(users.size, dtype=bool)
        first[1:] = (users[1:] != users[:-1]) | (items[1:] != items[:-1])
        starts = np.flatnonzero(first)
        last = np.append(starts[1:], users.size)[: starts.size] - 1
        weights = self.weights[order]
        values = weights[last] if self.explicit or not starts.size else np.add.reduceat(weights, starts)
        by_time = np.argsort(order[last])  # rows are sorted by (user, time), so places in them are too
        start = np.searchsorted(users[last][by_time], np.arange(self.n_users + 1))
        result: Csr = csr_matrix(
            (values[by_time].astype(np.float32), items[last][by_time], start), shape=(self.n_users, self.n_items)
        )
        return result

    def positives(self) -> Dataset:
        """Only the interactions that count as liking, with weight 1 for ratings; implicit data is returned as it is."""
        if not self.explicit:
            return self
        users, items, weights, at = _last_of_pair(self.users, self.items, self.weights, self.at)
        keep = weights >= self.positive_from
        ones = np.ones(int(keep.sum()), dtype=np.float32)
        return replace(self, users=users[keep], items=items[keep], weights=ones, at=at[keep], explicit=False)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Dataset:
        """The same users and items with a part of the interactions (which keeps its order)."""
        return replace(
            self, users=self.users[rows], items=self.items[rows], weights=self.weights[rows], at=self.at[rows]
        )


@dataclass(slots=True)
class DatasetBuilder:
    """Collects chunks and gives one `Dataset`; holds 20 bytes per interaction."""

    event_weights: Mapping[str, float] = field(default_factory=dict)
    item_ids: Iterable[str] = ()
    """Items that shall be in the data set even without an interaction (the catalogue)."""
    explicit: bool = False
    _users: IdIndex = field(default_factory=IdIndex)
    _items: IdIndex = field(init=False)
    _columns: list[tuple[NDArray[Any], ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._items = IdIndex(self.item_ids)

    def add_events(
        self,
        *,
        user_id: NDArray[np.str_],
        item_id: NDArray[np.str_],
        event_type: NDArray[np.str_],
        at: NDArray[np.int64],
    ) -> None:
        """Adds events; a type without a positive weight is left out."""
        names, inverse = np.unique(event_type, return_inverse=True)
        per_type = np.array([self.event_weights.get(name, 0.0) for name in names.tolist()], dtype=np.float32)
        weights = per_type[inverse] if names.size else np.empty(0, dtype=np.float32)
        keep = weights > 0
        self.add(user_id=user_id[keep], item_id=item_id[keep], weight=weights[keep], at=at[keep])

    def add(
        self,
        *,
        user_id: NDArray[np.str_],
        item_id: NDArray[np.str_],
        weight: NDArray[np.float32],
        at: NDArray[np.int64],
    ) -> None:
        """Adds interactions with known weights (ratings, say)."""
        if not user_id.size == item_id.size == weight.size == at.size:
            raise ValueError("user_id, item_id, weight and at must have the same length")
        if weight.size and not np.isfinite(weight).all():
            raise ValueError("weight must be finite")
        if user_id.size:
            self._columns.append(
                (
                    self._users.encode(user_id),
                    self._items.encode(item_id),
                    weight.astype(np.float32, copy=False),
                    at.astype(np.int64, copy=False),
                )
            )

    def build(
        self,
        *,
        tokens: Mapping[str, Sequence[str]] | None = None,
        user_tokens: Mapping[str, Sequence[str]] | None = None,
    ) -> Dataset:
        """The data set of everything added so far."""
        users, items, weights, at = (
            np.concatenate([np.empty(0, dtype=kind), *(chunk[column] for chunk in self._columns)])
            for column, kind in enumerate((np.int32, np.int32, np.float32, np.int64))
        )
        user_ids, users = _canonical(self._users.names(), users)
        names, items = _canonical(self._items.names(), items)
        order = np.lexsort((items, at, users))
        return Dataset(
            user_ids=user_ids,
            item_ids=names,
            users=users[order],
            items=items[order],
            weights=weights[order],
            at=at[order],
            explicit=self.explicit,
            tokens=_described(names, tokens),
            user_tokens=_described(user_ids, user_tokens),
        )


def _described(names: NDArray[np.str_], tokens: Mapping[str, Sequence[str]] | None) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(tokens.get(name, ())) for name in names.tolist()) if tokens else ()


def _canonical(names: NDArray[np.str_], codes: NDArray[np.int32]) -> tuple[NDArray[np.str_], NDArray[np.int32]]:
    """Ids in sorted order, so that a data set does not depend on the order in which its chunks came.

    Shorter ids come first: numbers stand in numeric order.
    """
    order = np.lexsort((names, np.strings.str_len(names)))
    rank = np.empty(names.size, dtype=np.int32)
    rank[order] = np.arange(names.size, dtype=np.int32)
    return names[order], rank[codes]


def user_starts(dataset: Dataset) -> NDArray[np.int64]:
    """Where each user's interactions begin, and the end."""
    return np.searchsorted(dataset.users, np.arange(dataset.n_users + 1)).astype(np.int64)


def last_of_each(dataset: Dataset, *, share: float, min_events: int) -> NDArray[np.bool_]:
    """The last ⌈share · n⌉ interactions of everybody with at least `min_events`."""
    if not 0 < share < 1:
        raise ValueError(f"share must lie between 0 and 1, got {share}")
    starts = user_starts(dataset)
    lengths = np.diff(starts)
    held = np.where(lengths >= min_events, np.ceil(share * lengths), 0).astype(np.int64)
    place = np.arange(dataset.n_interactions) - starts[dataset.users]
    mask: NDArray[np.bool_] = place >= (lengths - held)[dataset.users]
    return mask


def to_csr(
    users: NDArray[np.signedinteger],
    items: NDArray[np.signedinteger],
    weights: NDArray[np.float32],
    *,
    shape: tuple[int, int],
) -> Csr:
    """CSR matrix with sorted indices; equal (user, item) pairs are summed."""
    from scipy.sparse import csr_matrix

    matrix: Csr = csr_matrix((weights.astype(np.float32, copy=False), (users, items)), shape=shape, dtype=np.float32)
    matrix.sum_duplicates()
    return matrix


def token_matrix(tokens: Sequence[Sequence[str]]) -> tuple[Csr, tuple[str, ...]]:
    """Rows × tokens, how often each token stands in a row, and the tokens by column."""
    from scipy.sparse import csr_matrix

    codes: dict[str, int] = {}
    columns = np.fromiter((codes.setdefault(token, len(codes)) for row in tokens for token in row), dtype=np.int32)
    start = np.append(0, np.cumsum([len(row) for row in tokens], dtype=np.int64))
    ones = np.ones(columns.size, dtype=np.float32)
    matrix: Csr = csr_matrix((ones, columns, start), shape=(len(tokens), len(codes)))
    matrix.sum_duplicates()
    return matrix, tuple(codes)


def number_tokens(name: str, values: Mapping[str, float], *, bins: int = 8) -> dict[str, tuple[str, ...]]:
    """Numbers as tokens: each value belongs to two overlapping quantile bins, so that near values share one or both.

    >>> number_tokens("price", {"a": 1.0, "b": 2.0, "c": 9.0}, bins=2)
    {'a': ('price~0',), 'b': ('price~0', 'price~1'), 'c': ('price~1',)}
    """
    if not values:
        return {}
    numbers = np.fromiter(values.values(), dtype=np.float64, count=len(values))
    edges = np.unique(np.quantile(numbers, np.arange(1, 2 * bins) / (2 * bins)))
    places = np.searchsorted(edges, numbers, side="right").tolist()
    return {
        key: tuple(f"{name}~{bin_}" for bin_ in sorted({max(place - 1, 0) // 2, place // 2}))
        for key, place in zip(values, places, strict=True)
    }


def _last_of_pair(
    users: NDArray[np.int32], items: NDArray[np.int32], *columns: NDArray[Any]
) -> tuple[NDArray[Any], ...]:
    """Keeps the last row of each (user, item); rows must be sorted by (user, at)."""
    if users.size == 0:
        return (users, items, *columns)
    order = np.lexsort((items, users))  # stable: equal pairs stay in time order
    pair_users, pair_items = users[order], items[order]
    last = np.ones(users.size, dtype=bool)
    last[:-1] = (pair_users[1:] != pair_users[:-1]) | (pair_items[1:] != pair_items[:-1])
    keep = np.sort(order[last])  # the caller's order again: by user, then by time
    return (users[keep], items[keep], *(column[keep] for column in columns))
