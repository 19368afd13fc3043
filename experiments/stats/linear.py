"""Linear forms of means and ratios: what CUPED and post-stratification work on.

A term is a column (its mean) or a pair of columns (the ratio of their means). Near the means both
are linear in the columns: value ≈ constant + gradient · (column means), so the variance of any
combination of terms is gradient' Σ gradient / n, with Σ the columns' covariance in the cell.

Source: A. Deng, U. Knoblich, J. Lu, KDD 2018, section 2 (delta method).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from experiments.stats.aggregates import Aggregates, Column
from experiments.stats.results import FloatArray

Term: TypeAlias = Column | tuple[Column, Column]


@dataclass(frozen=True, slots=True)
class Linear:
    """One term over a batch of cells: value = origin + deviation (…), gradient (…, k)."""

    deviation: FloatArray
    origin: FloatArray
    gradient: FloatArray

    @property
    def value(self) -> FloatArray:
        """The term's value; NaN where a ratio's denominator is zero or the cell is empty."""
        return self.origin + self.deviation


def is_ratio(term: Term) -> bool:
    """Whether a term is a ratio of two columns.

    >>> is_ratio("revenue"), is_ratio(("clicks", "views"))
    (False, True)
    """
    return isinstance(term, tuple)


def linearize(aggregates: Aggregates, term: Term) -> Linear:
    """A term's value and gradient in each cell.

    >>> from experiments.stats.aggregates import aggregate
    >>> result = linearize(aggregate({"m": [1.0, 2.0], "d": [4.0, 8.0]}), ("m", "d"))
    >>> float(result.value), result.gradient.round(4).tolist()
    (0.25, [0.1667, -0.0417])
    """
    gradient = np.zeros(aggregates.sums.shape)
    if not isinstance(term, tuple):
        gradient[..., aggregates.position(term)] = 1.0
        return Linear(aggregates.deviation(term), aggregates.origin(term), gradient)
    above, below = term
    numerator, denominator = aggregates.mean(above), aggregates.mean(below)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.where(denominator == 0, np.nan, numerator / denominator)
        gradient[..., aggregates.position(above)] = 1 / denominator
        gradient[..., aggregates.position(below)] -= value / denominator
    return Linear(value, np.zeros(()), gradient)


def covariance_of(aggregates: Aggregates, first: FloatArray, second: FloatArray) -> FloatArray:
    """Per-unit covariance first' Σ second of two gradients (…, k); NaN below two units.

    Columns that both gradients pass over may hold anything, NaN included.

    >>> from experiments.stats.aggregates import aggregate
    >>> cells = aggregate({"y": [1.0, 3.0], "x": [1.0, 2.0]})
    >>> float(covariance_of(cells, np.array([1.0, 0.0]), np.array([1.0, -1.0])))
    1.0
    """
    shape = np.broadcast_shapes(aggregates.shape, first.shape[:-1], second.shape[:-1])
    total = np.zeros(shape)
    for i in _used(first):
        for j in _used(second):
            total = total + first[..., i] * second[..., j] * aggregates.covariance(i, j)
    return total


def variance_of(aggregates: Aggregates, gradient: FloatArray) -> FloatArray:
    """Per-unit variance gradient' Σ gradient; 0 where the terms cancel down to the rounding of their sums.

    >>> from experiments.stats.aggregates import aggregate
    >>> cells = aggregate({"y": [0.1, 0.2, 0.4], "x": [0.3, 0.6, 1.2]})
    >>> float(variance_of(cells, np.array([3.0, -1.0])))
    0.0
    """
    used = _used(gradient)
    total = covariance_of(aggregates, gradient, gradient)
    if len(used) == 1:
        return total
    noise = sum((np.square(gradient[..., i]) * aggregates.rounding(i) for i in used), start=np.zeros(()))
    return np.where(total <= len(used) * noise, 0.0, total)


def residual_gradient(
    aggregates: Aggregates, outcome: Column, covariates: Sequence[Column], slopes: FloatArray
) -> FloatArray:
    """The gradient (…, k) of outcome − slopes' covariates, for slopes (…, p).

    >>> from experiments.stats.aggregates import aggregate
    >>> residual_gradient(aggregate({"y": [1.0], "x": [2.0]}), "y", ["x"], np.array([0.5])).tolist()
    [1.0, -0.5]
    """
    shape = np.broadcast_shapes(aggregates.shape, slopes.shape[:-1])
    gradient = np.zeros((*shape, len(aggregates.columns)))
    gradient[..., aggregates.position(outcome)] = 1.0
    for j, covariate in enumerate(covariates):
        gradient[..., aggregates.position(covariate)] -= slopes[..., j]
    return gradient


def covariances(aggregates: Aggregates, gradients: Sequence[FloatArray]) -> FloatArray:
    """The matrix of per-unit covariances of several gradients, shape (…, p, p).

    >>> from experiments.stats.aggregates import aggregate
    >>> cells = aggregate({"y": [1.0, 3.0], "x": [1.0, 2.0]})
    >>> covariances(cells, [np.array([1.0, 0.0]), np.array([0.0, 1.0])]).tolist()
    [[2.0, 1.0], [1.0, 0.5]]
    """
    rows = [np.stack([covariance_of(aggregates, a, b) for b in gradients], axis=-1) for a in gradients]
    return np.stack(rows, axis=-2)


def solve(matrix: FloatArray, target: FloatArray) -> FloatArray:
    """Coefficients b with matrix b = target, symmetric matrices (…, p, p) and targets (…, p).

    One covariate is a division, 0 where it is constant. Several are scaled to correlations and
    solved by pseudo-inverse, so constant or collinear covariates drop out instead of failing.

    >>> solve(np.array([[4.0, 0.0], [0.0, 0.0]]), np.array([2.0, 0.0])).tolist()
    [0.5, 0.0]
    """
    variance = np.diagonal(matrix, axis1=-2, axis2=-1)
    usable = variance > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        if matrix.shape[-1] == 1:
            return np.where(usable, target / variance, 0.0)
        scale = np.where(usable, 1 / np.sqrt(variance), 0.0)
    scaled = np.nan_to_num(matrix * scale[..., :, None] * scale[..., None, :])
    weights = np.linalg.pinv(scaled, rcond=1e-10, hermitian=True)
    result = np.einsum("...ij,...j->...i", weights, np.nan_to_num(target) * scale)
    return np.asarray(result * scale)


def quadratic(matrix: FloatArray, first: FloatArray, second: FloatArray) -> FloatArray:
    """first' matrix⁻¹ second over a batch: (…, p, p), (…, p), (…, p) → (…); 0 for p = 0.

    >>> float(quadratic(np.diag([2.0, 4.0]), np.array([1.0, 1.0]), np.array([1.0, 2.0])))
    1.0
    """
    p = first.shape[-1]
    shape = np.broadcast_shapes(matrix.shape[:-2], first.shape[:-1], second.shape[:-1])
    if not p:
        return np.zeros(shape)
    weights = solve(np.broadcast_to(matrix, (*shape, p, p)), np.broadcast_to(second, (*shape, p)))
    return np.asarray(np.einsum("...i,...i->...", first, weights))


def _used(gradient: FloatArray) -> list[int]:
    flat = gradient.reshape(-1, gradient.shape[-1])
    return [int(i) for i in np.flatnonzero((flat != 0).any(axis=0))]
