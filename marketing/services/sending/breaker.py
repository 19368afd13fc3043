"""The circuit breaker of a channel: when its provider does not answer, every worker waits, longer each time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.db.models import F

from marketing.models import ChannelState

FIRST_WAIT: Final = timedelta(seconds=15)
LONGEST_DOUBLINGS: Final = 6  # 16 minutes


def is_open(*, channel: str, at: datetime) -> bool:
    """Tell whether nobody should try now."""
    return ChannelState.objects.filter(channel=channel, open_until__gt=at).exists()


def trip(*, channel: str, error: str, at: datetime) -> datetime:
    """Note that the provider did not answer; return until when nobody tries."""
    ChannelState.objects.get_or_create(channel=channel)
    ChannelState.objects.filter(channel=channel).update(failures=F("failures") + 1, last_error=error[:200])
    failures = ChannelState.objects.values_list("failures", flat=True).get(channel=channel)
    until = at + FIRST_WAIT * (1 << min(failures - 1, LONGEST_DOUBLINGS))
    ChannelState.objects.filter(channel=channel).update(open_until=until)
    return until


def close(*, channel: str) -> None:
    """Note that the provider answers again."""
    ChannelState.objects.filter(channel=channel, failures__gt=0).update(failures=0, open_until=None, last_error="")
