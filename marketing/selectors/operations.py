"""Reads for operators: is the clockwork ticking, how far are long jobs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from marketing.models import Heartbeat, Job

STALE_AFTER: Final = 180  # seconds: the heartbeat task runs every 30


@dataclass(frozen=True, slots=True)
class Clockwork:
    """Ages in seconds; `last_beat_age` is `None` where nothing was ever heard, `drain_lag` 0 where nothing waits."""

    last_beat_age: float | None
    drain_lag: float
    stale_after: int

    @property
    def is_ticking(self) -> bool:
        return (
            self.last_beat_age is not None
            and self.last_beat_age < self.stale_after
            and self.drain_lag < self.stale_after
        )


def clockwork(*, at: datetime, drain_lag: float) -> Clockwork:
    """Return how long ago beat, through the worker, last gave a sign; `drain_lag` is passed on."""
    heartbeat = Heartbeat.objects.filter(name="beat").first()
    age = (at - heartbeat.at).total_seconds() if heartbeat is not None else None
    return Clockwork(last_beat_age=age, drain_lag=drain_lag, stale_after=STALE_AFTER)


def job(*, name: str) -> Job | None:
    """Return the job `name`, if it ever ran."""
    return Job.objects.filter(name=name).first()
