"""When a message may go: the campaign's days and hours in the recipient's time zone, and so many a minute."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from django.conf import settings

from marketing.models import Campaign

EVERY_DAY = frozenset(range(7))


@dataclass(frozen=True, slots=True)
class Window:
    """Hours of the recipient's day, the end left out: 8 to 20 is 08:00 to 19:59; on these weekdays (0 is Monday)."""

    first: int
    end: int
    weekdays: Collection[int] = EVERY_DAY

    @classmethod
    def of(cls, campaign: Campaign) -> Window:
        """Return a campaign's window; one without weekdays has them all."""
        return cls(campaign.window_from, campaign.window_until, campaign.weekdays or EVERY_DAY)

    def opens(self, *, at: datetime, zone: str) -> datetime:
        """Return the first moment from `at` on that lies in the window of somebody in this time zone."""
        local = at.astimezone(_zone(zone))
        if local.weekday() in self.weekdays and self.first <= local.hour < self.end:
            return at
        day = local if local.hour < self.first else local + timedelta(days=1)
        while day.weekday() not in self.weekdays:
            day += timedelta(days=1)
        # Built anew from its parts: the day may have another offset than now.
        start = datetime(day.year, day.month, day.day, self.first, tzinfo=_zone(zone))
        return start.astimezone(UTC)


def spread(*, moments: Sequence[datetime], per_minute: int | None) -> list[datetime]:
    """Return the moments moved back so that no more than `per_minute` fall into a minute; their order stays."""
    if per_minute is None or not moments:
        return list(moments)
    gap = timedelta(minutes=1) / per_minute
    order = sorted(range(len(moments)), key=lambda place: moments[place])
    spaced = list(moments)
    free = moments[order[0]]
    for place in order:
        spaced[place] = free = max(free, moments[place])
        free += gap
    return spaced


@lru_cache(maxsize=512)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name or settings.REPORTING_TIME_ZONE)
    except (ValueError, OSError, KeyError):  # a profile's zone may be nonsense: the house's then
        return ZoneInfo(settings.REPORTING_TIME_ZONE)
