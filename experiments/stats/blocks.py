"""How per-unit values become sums: cells in order, cache-sized blocks, one product per block."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from experiments.stats.results import FloatArray, IntArray

# rows of one block: 16,384 × 10 columns of doubles stay in a second-level cache
BLOCK_ROWS = 16_384


def order_by_cell(groups: ArrayLike | None, n: int, n_groups: int | None) -> tuple[IntArray | None, IntArray]:
    """The order of units by cell (None: as they are) and the edges of the cells in it.

    >>> order_by_cell([1, 0, 1], 3, 2)
    (array([1, 0, 2]), array([0, 1, 3]))
    """
    if groups is None:
        return None, np.array([0, n], dtype=np.int64)
    labels = np.asarray(groups)
    if not labels.size:
        labels = labels.astype(np.int64)
    if labels.shape != (n,):
        raise ValueError(f"groups must have one entry per unit ({n}), got shape {labels.shape}")
    size = n_groups if n_groups is not None else int(labels.max(initial=-1)) + 1
    if n and (labels.min() < 0 or labels.max() >= size):
        raise ValueError(f"groups must lie in [0, {size})")
    # small unsigned integers are sorted by radix, in linear time
    small = labels.astype(np.uint16) if size <= np.iinfo(np.uint16).max else labels
    order = np.argsort(small, kind="stable")
    edges = np.concatenate([[0], np.cumsum(np.bincount(labels, minlength=size))])
    return order, edges.astype(np.int64)


def check_weights(weights: ArrayLike | None, n: int, name: str) -> FloatArray | None:
    """Weights as doubles, None if there are none; ValueError unless finite, not negative, one per unit.

    >>> check_weights([1, 2], 2, "weights")
    array([1., 2.])
    """
    if weights is None:
        return None
    result = np.asarray(weights, dtype=np.float64)
    if result.shape != (n,) or not np.isfinite(result).all() or (result < 0).any():
        raise ValueError(f"{name} must be finite and not negative, one per unit ({n})")
    return result


def sum_cells(
    columns: Sequence[FloatArray],
    shifts: FloatArray,
    cells: tuple[IntArray | None, IntArray],
    frequency: FloatArray | None,
    weight: FloatArray | None,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Σf, Σfw and Σfw² (cells, 3), sums (cells, k) and products (cells, k, k) of columns minus shifts.

    `cells` is what `order_by_cell` gives.

    >>> totals, sums, products = sum_cells([np.array([1.0, 2.0])], np.zeros(1), (None, np.array([0, 2])), None, None)
    >>> totals.tolist(), sums.tolist(), products.tolist()
    ([[2.0, 2.0, 2.0]], [[3.0]], [[[5.0]]])
    """
    order, edges = cells
    k, n = len(columns), columns[0].size
    totals = np.zeros((edges.size - 1, 3))
    sums = np.zeros((edges.size - 1, k))
    products = np.zeros((edges.size - 1, k, k))
    block = np.empty((k, min(BLOCK_ROWS, max(n, 1))))
    for cell, (first, last) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)):
        for start in range(first, last, BLOCK_ROWS):
            rows = slice(start, min(start + BLOCK_ROWS, last))
            picked = rows if order is None else order[rows]
            z = block[:, : rows.stop - rows.start]
            for i, column in enumerate(columns):
                np.subtract(column[picked], shifts[i], out=z[i])
            totals[cell] += _add_block(z, _pick(frequency, picked), _pick(weight, picked), sums[cell], products[cell])
    return totals, sums, products


def _pick(weights: FloatArray | None, picked: slice | IntArray) -> FloatArray | None:
    return None if weights is None else weights[picked]


def _add_block(
    z: FloatArray,
    frequency: FloatArray | None,
    weight: FloatArray | None,
    sums: FloatArray,
    products: FloatArray,
) -> tuple[float, float, float]:
    """Add one block of shifted columns (k, rows) to a cell in place; returns its Σf, Σfw and Σfw²."""
    if frequency is None and weight is None:
        sums += z.sum(axis=1)
        products += z @ z.T
        return z.shape[1], z.shape[1], z.shape[1]
    f = np.ones(z.shape[1]) if frequency is None else frequency
    w = np.ones(z.shape[1]) if weight is None else weight
    weighted = z * (f * w)
    sums += weighted.sum(axis=1)
    products += weighted @ z.T
    return float(f.sum()), float((f * w).sum()), float((f * w * w).sum())
