"""Vectorized root finding for monotone functions: bisection, which cannot fail."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from experiments.stats.results import FloatArray

STEPS = 64  # halves any start interval of doubles to its last bit near one


def bisect(
    function: Callable[[FloatArray], FloatArray], left: FloatArray, right: FloatArray, *, steps: int = STEPS
) -> FloatArray:
    """Roots of functions that fall from ≥ 0 at `left` to ≤ 0 at `right`, arrays of any shape.

    Where the function has one sign only, the end nearer to a root is approached. NaN stays NaN.

    >>> bisect(lambda x: 2.0 - x * x, np.array([0.0]), np.array([2.0])).round(6)
    array([1.414214])
    """
    low, high = np.array(left, dtype=np.float64), np.array(right, dtype=np.float64)
    for _ in range(steps):
        middle = 0.5 * (low + high)
        above = function(middle) > 0
        low = np.where(above, middle, low)
        high = np.where(above, high, middle)
    return 0.5 * (low + high)
