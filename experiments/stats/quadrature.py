"""Composite Gauss–Legendre quadrature: a small rule in every panel, panels where the integrand needs them."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike

from experiments.stats.results import FloatArray

# Points in a panel: exact for polynomials of degree 31. A rule of hundreds of points in one panel
# would cost an eigenvalue problem of that size.
PANEL_NODES = 16


@cache
def _rule() -> tuple[FloatArray, FloatArray]:
    nodes, weights = np.polynomial.legendre.leggauss(PANEL_NODES)
    return nodes, weights


def panels(ends: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Points and weights for panels between consecutive `ends` (…, k + 1), both (…, 16 k).

    Source: Davis & Rabinowitz, "Methods of Numerical Integration" (2nd ed., 1984), section 2.7.

    >>> x, weight = panels([0.0, 0.5, 2.0])
    >>> round(float((weight * np.exp(x)).sum()), 12), round(float(np.expm1(2.0)), 12)
    (6.389056098931, 6.389056098931)
    """
    edges = np.asarray(ends, dtype=np.float64)
    nodes, weights = _rule()
    half = np.diff(edges, axis=-1)[..., None] / 2
    middle = (edges[..., 1:, None] + edges[..., :-1, None]) / 2
    shape = (*edges.shape[:-1], PANEL_NODES * (edges.shape[-1] - 1))
    return (middle + half * nodes).reshape(shape), (half * weights).reshape(shape)
