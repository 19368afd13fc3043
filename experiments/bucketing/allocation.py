"""From weights and coverage to the arm of each bucket.

The ranges are GrowthBook's: cumulative weights, each cut to ``weight · coverage``, so that raising the
coverage never moves a unit that was in. They are tabulated once per phase over the 10,000 buckets; one
look-up then answers for one unit, one indexing for a million, with the same comparisons behind both.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from experiments.bucketing.hashing import BUCKETS

NO_ARM = 255
"""The table's entry for a bucket outside every range; hence at most 255 arms."""
WEIGHT_TOLERANCE = 1e-9
"""How far the sum of the weights may be from 1: the rounding of a few additions, nothing more."""


def arm_ranges(*, weights: Sequence[float], coverage: float) -> list[tuple[float, float]]:
    """The half-open range of buckets of each arm.

    >>> arm_ranges(weights=[0.5, 0.5], coverage=0.8)
    [(0.0, 0.4), (0.5, 0.9)]
    """
    if not weights or len(weights) >= NO_ARM:
        raise ValueError(f"weights must name 1 to {NO_ARM - 1} arms, got {len(weights)}")
    if not all(0.0 <= weight <= 1.0 for weight in weights):
        raise ValueError(f"each weight must be in [0, 1], got {list(weights)}")
    if abs(sum(weights) - 1.0) > WEIGHT_TOLERANCE:
        raise ValueError(f"weights must sum to 1, got {sum(weights)}")
    if not 0.0 <= coverage <= 1.0:
        raise ValueError(f"coverage must be in [0, 1], got {coverage}")
    cumulative = 0.0
    ranges = []
    for weight in weights:
        ranges.append((cumulative, cumulative + coverage * weight))
        cumulative += weight
    return ranges


@lru_cache(maxsize=1024)
def arm_table(*, weights: tuple[float, ...], coverage: float) -> bytes:
    """For each of the 10,000 buckets the position of its arm, or `NO_ARM`.

    Remembered per regime: a phase never changes, and a table costs a millisecond.

    >>> table = arm_table(weights=(0.5, 0.5), coverage=0.8)
    >>> table[3999], table[4000], table[5000], table[9000]
    (0, 255, 1, 255)
    """
    table = bytearray([NO_ARM]) * BUCKETS
    for position, (lower, upper) in enumerate(arm_ranges(weights=weights, coverage=coverage)):
        # Compare as the clients do, on the quotient; a product would round differently at the edges.
        for number in range(max(0, int(lower * BUCKETS) - 1), min(BUCKETS, int(upper * BUCKETS) + 2)):
            if lower <= number / BUCKETS < upper and table[number] == NO_ARM:
                table[number] = position
    return bytes(table)


def in_range(*, number: int, lower: float, upper: float) -> bool:
    """Whether a bucket's number lies in the half-open range [lower, upper) of bucket positions.

    >>> in_range(number=2500, lower=0.25, upper=0.5), in_range(number=5000, lower=0.25, upper=0.5)
    (True, False)
    """
    return lower <= number / BUCKETS < upper
