"""Recency, frequency and money: scores of 1 to 5, and the groups that they name.

Scores are quintiles of everybody who ordered. Ties never break: the same value always has the same score. A value's
score is 1 plus the number of bounds that it reaches, and bound k (of 4) is the smallest value that at least k/5 of the
people lie strictly below. So where 70 % ordered once, all of them have the frequency score 1, and the scores above go
to the others; a score that nobody has is a gap in the data, not an error.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Scores = NDArray[np.int64]

QUINTILES: Final = 5
PRICE_LEVELS: Final = ("budget", "middle", "premium")
"""Terciles of the average order value, by the same rule."""

# (group, least and most recency score, least and most frequency score), the first that fits; F and M count as one: the
# larger half of (frequency + money) / 2.
GROUPS: Final = (
    ("champions", 4, 5, 4, 5),
    ("loyal", 3, 5, 3, 5),
    ("new", 5, 5, 1, 1),
    ("promising", 4, 4, 1, 1),
    ("potential loyal", 4, 5, 2, 2),
    ("needs attention", 3, 3, 2, 2),
    ("about to sleep", 3, 3, 1, 1),
    ("cannot lose", 1, 2, 5, 5),
    ("at risk", 1, 2, 3, 4),
    ("hibernating", 2, 2, 1, 2),
    ("lost", 1, 1, 1, 2),
)


def bounds(values: Floats, *, parts: int) -> Floats:
    """Return the parts − 1 bounds of everybody's values, shape (parts − 1,); infinite where nobody reaches one.

    >>> bounds(np.array([1.0, 1.0, 1.0, 2.0, 9.0]), parts=5)
    array([2., 2., 2., 9.])
    """
    different, counts = np.unique(values, return_counts=True)
    below = np.concatenate([[0], np.cumsum(counts)[:-1]]) if different.size else np.empty(0)
    wanted = np.arange(1, parts) * values.size
    # In whole numbers: below / n >= k / parts.
    places = np.searchsorted(below * parts, wanted, side="left")
    return np.append(different, np.inf)[places]


def score(values: Floats, limits: Floats) -> Scores:
    """Return each value's score of 1 to len(limits) + 1, shape (n,).

    >>> score(np.array([1.0, 2.0, 9.0]), np.array([2.0, 2.0, 2.0, 9.0]))
    array([1, 4, 5])
    """
    return 1 + np.searchsorted(limits, values, side="right").astype(np.int64)


def groups(recency: Scores, frequency: Scores, money: Scores) -> NDArray[np.int64]:
    """Return the place in GROUPS of each person, shape (n,)."""
    both = (frequency + money + 1) // 2
    table = np.zeros((QUINTILES + 1, QUINTILES + 1), dtype=np.int64)
    for place in range(len(GROUPS) - 1, -1, -1):
        _, least_r, most_r, least_f, most_f = GROUPS[place]
        table[least_r : most_r + 1, least_f : most_f + 1] = place
    found: NDArray[np.int64] = table[recency, both]
    return found
