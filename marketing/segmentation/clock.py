"""Between datetimes and the fact tables' microseconds since 1970, UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)
HOUR: Final = 3_600_000_000
DAY: Final = 24 * HOUR


def to_micros(at: datetime) -> int:
    """Return the moment as microseconds since 1970, UTC."""
    return (at - EPOCH) // MICROSECOND


def from_micros(micros: int) -> datetime:
    """Return the moment as a datetime in UTC."""
    return EPOCH + timedelta(microseconds=micros)
