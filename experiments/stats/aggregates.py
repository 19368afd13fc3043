"""Sufficient statistics that stay exact: counts, sums and cross products about a frozen shift.

Raw sums of squares cancel: at mean / sd = 1e8 they leave no digit of the variance, and merging
double means loses as much. Here each column keeps one shift c, frozen for the metric's life (near
its mean; see `choose_shift`). Kept are n, S = Σ(y − c) and Q = Σ(y − c)(y − c)'. By Sterbenz' lemma
y − c is exact for y near c, so nothing large is ever summed; S and Q are additive, so merging days,
segments and arms is plain addition; differences of means are differences of S / n and never see c.
Errors are those of summation alone (numpy's pairwise sums and BLAS products over blocks of
rows): about 1e-15 relative, whatever the mean. What a far shift has lost is not made
up: a centred moment within the rounding of its own sums is told as 0, so a constant column has no
variance about any shift.

Sources: T. F. Chan, G. H. Golub, R. J. LeVeque, "Algorithms for computing the sample variance:
analysis and recommendations", The American Statistician 37 (1983), section 3 (shifted data);
P. H. Sterbenz, "Floating-point computation" (1974), theorem 4.3.1; N. J. Higham, "Accuracy and
stability of numerical algorithms" (2nd ed., 2002), section 4.2 (error of a sum, in any order).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from experiments.stats.blocks import check_weights, order_by_cell, sum_cells
from experiments.stats.results import FloatArray, IntArray

Column: TypeAlias = str | int
Key: TypeAlias = int | slice | IntArray | tuple[int | slice | IntArray | None, ...] | None

# A sum of n products is off by at most n roundings of the sum of their sizes, in any order of adding
# (Higham, equation 4.4); a centred moment sees that of Q once and that of S twice.
ROUNDING = 4 * float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True)
class Aggregates:
    """Statistics of k columns over a batch of cells (metrics × arms × segments × days).

    `columns` names the k columns; `shift` broadcasts to (…, k); `count`, `weight` and
    `weight_squares` have the batch shape (…): Σf, Σfw and Σfw² for frequencies f and weights w, all
    equal to the number of units when unweighted. `sums` is Σfw(y − shift), shape (…, k);
    `products` is Σfw(y − shift)(y − shift)', shape (…, k, k).

    >>> cells = aggregate({"y": [1.0, 2.0, 3.0, 4.0]})
    >>> float(cells.mean()), round(float(cells.variance()), 6)
    (2.5, 1.666667)
    """

    columns: tuple[str, ...]
    shift: FloatArray
    count: FloatArray
    weight: FloatArray
    weight_squares: FloatArray
    sums: FloatArray
    products: FloatArray

    def __post_init__(self) -> None:
        k = len(self.columns)
        if self.sums.shape != (*self.count.shape, k) or self.products.shape != (*self.count.shape, k, k):
            raise ValueError(
                f"sums and products must have shapes {(*self.count.shape, k)} and {(*self.count.shape, k, k)}, "
                f"got {self.sums.shape} and {self.products.shape}"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """The batch shape."""
        return self.count.shape

    @property
    def n(self) -> FloatArray:
        """The effective number of units, weight² / weight_squares (Kish 1965); the count if unweighted."""
        with np.errstate(divide="ignore", invalid="ignore"):
            effective = self.weight * (self.weight / self.weight_squares)
        return np.where(self.weight_squares > 0, effective, 0.0)

    def position(self, column: Column = 0) -> int:
        """The place of a column, given by name or place; ValueError if there is none.

        >>> aggregate({"y": [1.0], "x": [2.0]}).position("x")
        1
        """
        if isinstance(column, str):
            if column not in self.columns:
                raise ValueError(f"no column {column!r}, there are {', '.join(self.columns)}")
            return self.columns.index(column)
        return range(len(self.columns))[column]

    def origin(self, column: Column = 0) -> FloatArray:
        """The frozen shift of a column, broadcast to the batch shape."""
        return np.broadcast_to(self.shift, self.sums.shape)[..., self.position(column)]

    def deviation(self, column: Column = 0) -> FloatArray:
        """The mean minus the shift: subtract these, not the means, between arms (NaN if empty)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self.sums[..., self.position(column)] / self.weight)

    def mean(self, column: Column = 0) -> FloatArray:
        """The (weighted) mean; NaN where the cell is empty."""
        return self.origin(column) + self.deviation(column)

    def covariance(self, first: Column = 0, second: Column = 0) -> FloatArray:
        """The sample covariance (n − 1; for weights W − ΣW²/W as in numpy.cov's aweights).

        0 where it lies within the rounding of the sums: constant columns, shifts far too far away.

        >>> float(aggregate({"y": [0.1] * 10}).covariance())
        0.0
        """
        i, j = self.position(first), self.position(second)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            centred = self.products[..., i, j] - self.sums[..., i] * (self.sums[..., j] / self.weight)
            result = centred / (self.weight - self.weight_squares / self.weight)
            size = self._size(i) if i == j else np.sqrt(self._size(i) * self._size(j))
            lost = (centred if i == j else np.abs(centred)) <= ROUNDING * self.count * size
        return np.where(self.n > 1, np.where(lost, 0.0, result), np.nan)

    def rounding(self, column: Column = 0) -> FloatArray:
        """The error that summation may have left in the variance of a column, in its units squared.

        >>> cells = aggregate({"y": [1.0, 2.0]}, shift=1e6)
        >>> bool(cells.rounding() < 0.01 * cells.variance())
        True
        """
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            size = self._size(self.position(column))
            return np.asarray(ROUNDING * self.count * size / (self.weight - self.weight_squares / self.weight))

    def _size(self, i: int) -> FloatArray:
        """Σ(y − shift)², what a centred moment was cancelled from."""
        return np.asarray(np.abs(self.products[..., i, i]))

    def variance(self, column: Column = 0) -> FloatArray:
        """The sample variance of a column; NaN below two units."""
        return self.covariance(column, column)

    def covariance_matrix(self, columns: Sequence[Column]) -> FloatArray:
        """Sample covariances of several columns, shape (…, p, p).

        >>> aggregate({"y": [1.0, 3.0], "x": [1.0, 2.0]}).covariance_matrix(["y", "x"]).tolist()
        [[2.0, 1.0], [1.0, 0.5]]
        """
        rows = [np.stack([self.covariance(a, b) for b in columns], axis=-1) for a in columns]
        return np.stack(rows, axis=-2)

    def deviations(self, columns: Sequence[Column]) -> FloatArray:
        """Deviations of several columns, shape (…, p)."""
        return np.stack([self.deviation(column) for column in columns], axis=-1)

    def merge(self, other: Aggregates) -> Aggregates:
        """The statistics of both sets of units; shapes broadcast.

        Raises ValueError if columns or shifts differ: a metric's shift is frozen, use `reshift`.

        >>> half = aggregate({"y": [1.0, 2.0]})
        >>> float(half.merge(aggregate({"y": [3.0, 4.0]})).mean())
        2.5
        """
        if self.columns != other.columns:
            raise ValueError(f"columns must be equal to merge, got {self.columns} and {other.columns}")
        if np.any(self.shift != other.shift):
            raise ValueError("shifts must be equal to merge: a metric's shift is frozen")
        return Aggregates(
            self.columns,
            self.shift,
            self.count + other.count,
            self.weight + other.weight,
            self.weight_squares + other.weight_squares,
            self.sums + other.sums,
            self.products + other.products,
        )

    def total(self, axis: int | tuple[int, ...]) -> Aggregates:
        """Merge all cells along one or several axes of the batch (days, segments, arms).

        >>> cells = aggregate({"y": [1.0, 2.0, 3.0, 4.0]}, groups=[0, 0, 1, 1])
        >>> float(cells.total(0).mean())
        2.5
        """
        rank = len(self.shape)
        axes = tuple(a % rank for a in ((axis,) if isinstance(axis, int) else axis))
        shift = self.shift
        if shift.ndim > 1:
            shift = np.broadcast_to(shift, self.sums.shape)
            for a in sorted(axes, reverse=True):
                if np.any(shift != np.take(shift, [0], axis=a)):
                    raise ValueError("shifts must be equal to merge: a metric's shift is frozen")
                shift = np.take(shift, 0, axis=a)
        return Aggregates(
            self.columns,
            shift,
            self.count.sum(axis=axes),
            self.weight.sum(axis=axes),
            self.weight_squares.sum(axis=axes),
            self.sums.sum(axis=axes),
            self.products.sum(axis=axes),
        )

    def __getitem__(self, key: Key) -> Aggregates:
        """Cells of the batch, by anything that indexes its axes.

        >>> aggregate({"y": [1.0, 2.0]}, groups=[0, 1])[1].count
        np.float64(1.0)
        """
        index = key if isinstance(key, tuple) else (key,)
        shift = self.shift
        if shift.ndim > 1:
            shift = np.broadcast_to(shift, self.sums.shape)[(*index, ..., slice(None))]
        return Aggregates(
            self.columns,
            shift,
            np.asarray(self.count[index])[()],
            np.asarray(self.weight[index])[()],
            np.asarray(self.weight_squares[index])[()],
            self.sums[(*index, ..., slice(None))],
            self.products[(*index, ..., slice(None), slice(None))],
        )

    def reshape(self, shape: tuple[int, ...]) -> Aggregates:
        """The same cells in a batch of another shape (arms × segments × days).

        Raises ValueError for shifts per cell: their axes have a meaning that would be lost.

        >>> aggregate({"y": [1.0, 2.0]}, groups=[0, 3], n_groups=4).reshape((2, 2)).shape
        (2, 2)
        """
        if self.shift.ndim > 1:
            raise ValueError("cells with shifts of their own cannot be reshaped")
        k = len(self.columns)
        return Aggregates(
            self.columns,
            self.shift,
            self.count.reshape(shape),
            self.weight.reshape(shape),
            self.weight_squares.reshape(shape),
            self.sums.reshape((*shape, k)),
            self.products.reshape((*shape, k, k)),
        )

    def cumulative(self, axis: int) -> Aggregates:
        """Running totals along an axis: what was known at the end of each day.

        >>> aggregate({"y": [1.0, 2.0]}, groups=[0, 1]).cumulative(0).count.tolist()
        [1.0, 2.0]
        """
        place = axis % len(self.shape)
        return Aggregates(
            self.columns,
            self.shift,
            self.count.cumsum(axis=place),
            self.weight.cumsum(axis=place),
            self.weight_squares.cumsum(axis=place),
            self.sums.cumsum(axis=place),
            self.products.cumsum(axis=place),
        )

    def select(self, columns: Sequence[Column]) -> Aggregates:
        """The same cells with some of the columns, in the given order.

        >>> aggregate({"y": [1.0], "x": [2.0]}).select(["x"]).columns
        ('x',)
        """
        places = [self.position(column) for column in columns]
        return Aggregates(
            tuple(self.columns[place] for place in places),
            self.shift[..., places],
            self.count,
            self.weight,
            self.weight_squares,
            self.sums[..., places],
            self.products[..., places, :][..., places],
        )

    def reshift(self, shift: ArrayLike) -> Aggregates:
        """The same statistics about another shift; digits that the old shift lost stay lost.

        >>> cells = aggregate({"y": [1.0, 2.0]}).reshift(5.0)
        >>> float(cells.mean()), cells.sums.tolist()
        (1.5, [-7.0])
        """
        new = np.broadcast_to(np.asarray(shift, dtype=np.float64), self.shift.shape)
        step = np.broadcast_to(new - self.shift, self.sums.shape)
        outer = step[..., :, None] * self.sums[..., None, :]
        square = self.weight[..., None, None] * step[..., :, None] * step[..., None, :]
        return Aggregates(
            self.columns,
            new,
            self.count,
            self.weight,
            self.weight_squares,
            self.sums - self.weight[..., None] * step,
            self.products - outer - np.swapaxes(outer, -1, -2) + square,
        )


def from_sums(
    columns: Sequence[str],
    *,
    count: ArrayLike,
    sums: Sequence[ArrayLike],
    products: Mapping[tuple[str, str], ArrayLike],
    shift: ArrayLike = 0.0,
    weight: ArrayLike | None = None,
    weight_squares: ArrayLike | None = None,
) -> Aggregates:
    """Aggregates from sums made elsewhere (one SQL pass): all of values minus `shift`.

    `sums` holds one array of the batch shape per column, `products` Σ(a − shift)(b − shift) for each
    unordered pair of columns; a missing pair is NaN (never used by the metric). Raises ValueError
    for a pair of unknown columns or a wrong number of sums.

    >>> cells = from_sums(["y"], count=4, sums=[10.0], products={("y", "y"): 30.0})
    >>> float(cells.mean()), round(float(cells.variance()), 6)
    (2.5, 1.666667)
    """
    names = tuple(columns)
    if len(sums) != len(names):
        raise ValueError(f"sums must have one entry per column ({len(names)}), got {len(sums)}")
    arrays = [np.asarray(s, dtype=np.float64) for s in sums]
    size = np.asarray(count, dtype=np.float64)
    shape = np.broadcast_shapes(size.shape, *(a.shape for a in arrays))
    matrix = np.full((*shape, len(names), len(names)), np.nan)
    for (a, b), value in products.items():
        if a not in names or b not in names:
            raise ValueError(f"products name an unknown column: {a}, {b}")
        i, j = names.index(a), names.index(b)
        matrix[..., i, j] = matrix[..., j, i] = value
    size = np.broadcast_to(size, shape)
    total = size if weight is None else np.broadcast_to(np.asarray(weight, dtype=np.float64), shape)
    squares = total if weight_squares is None else np.broadcast_to(np.asarray(weight_squares, dtype=np.float64), shape)
    return Aggregates(
        columns=names,
        shift=np.broadcast_to(np.asarray(shift, dtype=np.float64), (len(names),))
        if np.ndim(shift) < 2
        else np.asarray(shift, dtype=np.float64),
        count=size,
        weight=total,
        weight_squares=squares,
        sums=np.stack([np.broadcast_to(a, shape) for a in arrays], axis=-1),
        products=matrix,
    )


def choose_shift(values: ArrayLike) -> float:
    """A shift to freeze from a metric's first values: their mean, 0 if there is none.

    It needs to be near the mean only, within a few standard deviations, and never changes again.
    NaN and infinities are passed over.

    >>> choose_shift([99.0, 100.0, 104.0])
    101.0
    """
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    if not finite.size:
        return 0.0
    return float(finite[0] + np.mean(finite - finite[0]))


def aggregate(
    values: Mapping[str, ArrayLike],
    *,
    groups: ArrayLike | None = None,
    n_groups: int | None = None,
    shift: ArrayLike = 0.0,
    weights: ArrayLike | None = None,
    frequencies: ArrayLike | None = None,
) -> Aggregates:
    """Aggregate per-unit values, one array of n units per column, into cells.

    `groups` holds a cell number in [0, n_groups) per unit (batch shape (n_groups,)); without it
    there is one cell (batch shape ()). `shift` is one number or one per column. `frequencies` counts
    identical units; `weights` are reliability weights that do not depend on the outcome (for
    weights that do, make the ratio of w·y over w, whose delta method is right). Raises ValueError
    for unequal lengths, numbers not finite or too large to be squared, and groups out of range.

    >>> cells = aggregate({"y": [1.0, 2.0, 6.0], "x": [0.0, 1.0, 1.0]}, groups=[0, 1, 1])
    >>> cells.mean("y").tolist(), cells.count.tolist()
    ([1.0, 4.0], [1.0, 2.0])
    """
    columns = [np.asarray(v, dtype=np.float64) for v in values.values()]
    if not columns or any(c.ndim != 1 or c.shape != columns[0].shape for c in columns):
        raise ValueError("values must be one-dimensional columns of one length")
    n = columns[0].size
    shifts = np.broadcast_to(np.asarray(shift, dtype=np.float64), (len(columns),))
    cells = order_by_cell(groups, n, n_groups)
    frequency = check_weights(frequencies, n, "frequencies")
    with np.errstate(over="ignore", invalid="ignore"):
        totals, sums, products = sum_cells(columns, shifts, cells, frequency, check_weights(weights, n, "weights"))
    if not np.isfinite(sums).all():
        raise ValueError("values must be finite: exclude or fill what is missing before aggregating")
    if not np.isfinite(products).all():
        raise ValueError("values are too large: their squares overflow, choose a smaller unit")
    one_cell = groups is None
    count, weight_sum, squares = totals.T
    return Aggregates(
        tuple(values),
        shifts,
        count[0] if one_cell else count,
        weight_sum[0] if one_cell else weight_sum,
        squares[0] if one_cell else squares,
        sums[0] if one_cell else sums,
        products[0] if one_cell else products,
    )
