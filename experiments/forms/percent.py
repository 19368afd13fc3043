"""Percents on the pages, shares in the record."""

from __future__ import annotations

PERCENT = 100
_DIGITS = 10
"""Of a share; 33.3 % is stored as 0.333 and not as 0.33299999999999996."""


def to_share(percent: float) -> float:
    """The share that people type as percent.

    >>> to_share(33.3)
    0.333
    """
    return round(percent / PERCENT, _DIGITS)


def to_percent(share: float) -> float:
    """The percent that people read."""
    return round(share * PERCENT, _DIGITS)
