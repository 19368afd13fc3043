"""Item neighbour lists as CSR arrays: shared by every algorithm whose model is "these items speak for those"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recommender.algorithms.base import NO_SCORE, Anchor, gather

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from recommender.algorithms.base import Arrays, Profile, Scores
    from recommender.dataset import Csr

BLOCK_ENTRIES = 1_000_000
"""Entries of an intermediate block of a similarity product; a million float32 with indices are 8 MB."""


def top_neighbours(
    left: Csr, right: Csr, *, neighbours: int, adjust: Callable[[Csr, int], None] | None = None
) -> Arrays:
    """For each row i of `left` the largest positive entries of left[i] @ right, without the diagonal.

    Computed block by block, so that no items × items matrix ever exists. `adjust(block, first_row)` may change the
    data of a block in place (a shrinkage, say) before the cut. Equal similarities go to the lower index.
    """
    n_rows = left.shape[0]
    step = max(1, BLOCK_ENTRIES // max(1, right.shape[1]))
    lengths = np.zeros(n_rows + 1, dtype=np.int64)
    indices: list[NDArray[np.int32]] = []
    data: list[NDArray[np.float32]] = []
    for first in range(0, n_rows, step):
        block: Csr = (left[first : first + step] @ right).tocsr()
        if adjust is not None:
            adjust(block, first)
        for offset in range(block.shape[0]):
            columns, values = _best(block, offset, exclude=first + offset, count=neighbours)
            indices.append(columns)
            data.append(values)
            lengths[first + offset + 1] = columns.size
    return {
        "neighbour_start": np.cumsum(lengths),
        "neighbour_item": np.concatenate(indices) if indices else np.empty(0, dtype=np.int32),
        "neighbour_weight": np.concatenate(data) if data else np.empty(0, dtype=np.float32),
    }


def _best(block: Csr, row: int, *, exclude: int, count: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    start, stop = int(block.indptr[row]), int(block.indptr[row + 1])
    columns, values = block.indices[start:stop], block.data[start:stop]
    keep = (values > 0) & (columns != exclude)
    columns, values = columns[keep], values[keep]
    if columns.size > count:
        kth = np.partition(values, values.size - count)[values.size - count]
        near = values >= kth
        columns, values = columns[near], values[near]
    order = np.lexsort((columns, -values))[:count]
    return columns[order].astype(np.int32), values[order].astype(np.float32)


def score_neighbours(arrays: Arrays, profile: Profile) -> Scores:
    """Score of item j: Σ over the profile's items i of weight_i · similarity(i, j)."""
    start: NDArray[np.int64] = arrays["neighbour_start"].astype(np.int64, copy=False)
    positions, owner = gather(start, profile.items)
    totals = np.bincount(
        arrays["neighbour_item"][positions],
        weights=arrays["neighbour_weight"][positions] * profile.weights[owner],
        minlength=start.size - 1,
    )
    return without_zero(totals)


def score_neighbours_block(arrays: Arrays, profiles: Csr) -> Scores:
    """`score_neighbours` for many profiles with one sparse product."""
    return without_zero((profiles @ _similarity(arrays)).toarray())


def rank_neighbours_block(arrays: Arrays, profiles: Csr, seen: Csr, k: int) -> NDArray[np.int32]:
    """The k best unseen items of each profile, without ever making a row of all items."""
    product: Csr = (profiles @ _similarity(arrays)).tocsr()
    lists = np.full((profiles.shape[0], k), -1, dtype=np.int32)
    is_seen = np.zeros(profiles.shape[1], dtype=bool)
    for row in range(profiles.shape[0]):
        part = slice(int(product.indptr[row]), int(product.indptr[row + 1]))
        known = seen.indices[seen.indptr[row] : seen.indptr[row + 1]]
        is_seen[known] = True
        columns, values = product.indices[part], product.data[part]
        keep = ~is_seen[columns] & (values != 0)
        is_seen[known] = False
        columns, values = columns[keep], values[keep]
        if columns.size > k:
            near = values >= np.partition(values, values.size - k)[values.size - k]
            columns, values = columns[near], values[near]
        best = np.lexsort((columns, -values))[:k]
        lists[row, : best.size] = columns[best]
    return lists


def _similarity(arrays: Arrays) -> Csr:
    from scipy.sparse import csr_matrix

    n_items = arrays["neighbour_start"].size - 1
    similarity: Csr = csr_matrix(
        (arrays["neighbour_weight"], arrays["neighbour_item"], arrays["neighbour_start"]), shape=(n_items, n_items)
    )
    return similarity


def explain_neighbours(arrays: Arrays, profile: Profile, item: int) -> Sequence[Anchor]:
    """Which items of the profile gave `item` its score."""
    start: NDArray[np.int64] = arrays["neighbour_start"].astype(np.int64, copy=False)
    positions, owner = gather(start, profile.items)
    hits = np.flatnonzero(arrays["neighbour_item"][positions] == item)
    gains = arrays["neighbour_weight"][positions[hits]] * profile.weights[owner[hits]]
    order = np.argsort(-gains, kind="stable")
    return tuple(map(Anchor, profile.items[owner[hits[order]]].tolist(), gains[order].tolist()))


def without_zero(totals: NDArray[Any]) -> Scores:
    """float32 scores in which an exact 0 (nothing spoke for the item) is `NO_SCORE`."""
    scores: Scores = totals.astype(np.float32)
    scores[scores == 0] = NO_SCORE
    return scores
