"""Shares of groups with their intervals, and what an arm changed in a group: the engine's numbers for other reports.

The engine is imported inside: pages name these functions, and only a few of their requests compute.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments.reports import Bounds, Estimate

LEVEL = 0.95


def share_bounds(*, successes: int, n: int, level: float = LEVEL) -> Bounds:
    """Wilson's interval of a share. Raises ValueError without units or for more successes than units."""
    from scipy import special

    from experiments.stats.score import wilson

    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"successes must lie between 0 and n, and n be at least 1, got {successes} of {n}")
    lower, upper = wilson(successes, n, float(special.ndtri((1 + level) / 2)))
    return Bounds(lower=float(lower), upper=float(upper), level=level)


def mean_bounds(*, values: Sequence[float], level: float = LEVEL) -> tuple[float, Bounds]:
    """The mean of units' numbers with Student's interval. Raises ValueError for fewer than two units."""
    from experiments.stats.aggregates import aggregate
    from experiments.stats.estimates import critical_value
    from experiments.stats.mean import mean_estimate

    if len(values) < 2:
        raise ValueError(f"a mean's interval needs two units, got {len(values)}")
    found = mean_estimate(aggregate({"y": list(values)}))
    half = float(critical_value(found.df, 1 - level) * found.standard_error)
    mean = float(found.value)
    return mean, Bounds(lower=mean - half, upper=mean + half, level=level)


def auc(*, positives: Sequence[float], negatives: Sequence[float]) -> float:
    """How well a number tells two groups apart: the chance that one of the first has the larger, ties counting half.

    The area under the ROC curve is Mann and Whitney's U over the pairs (Hanley and McNeil, Radiology 1982).
    Raises ValueError for an empty group.

    >>> auc(positives=[3.0, 4.0], negatives=[1.0, 2.0]), auc(positives=[1.0, 2.0], negatives=[1.0, 2.0])
    (1.0, 0.5)
    """
    if not positives or not negatives:
        raise ValueError("both groups need at least one unit")
    _, inverse, counts = np.unique([*positives, *negatives], return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    n, m = len(positives), len(negatives)
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))


def compare_shares(*, control_successes: int, control_n: int, successes: int, n: int, level: float = LEVEL) -> Estimate:
    """The difference and the lift of two shares: Wald, or the exact regime where events are few."""
    from experiments.services.scalars import scalar_estimate
    from experiments.stats.exact import compare_by_regime

    found = compare_by_regime(control_successes, control_n, successes, n, alpha=1 - level)
    return scalar_estimate(found.comparison)
