"""The progress of long jobs, written beside their work so that a page can show it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.db import IntegrityError, transaction

from marketing.models import Job

STALE_AFTER: Final = timedelta(minutes=2)  # a job that has not reported for so long died with its process


def begin(*, name: str, total: int, at: datetime) -> bool:
    """Take the job `name` unless another process is at it; return whether it is ours now."""
    fresh = {"state": Job.State.RUNNING, "step": "", "done": 0, "total": total, "error": "", "started_at": at}
    taken = (
        Job.objects.filter(name=name)
        .exclude(state=Job.State.RUNNING, updated_at__gt=at - STALE_AFTER)
        .update(**fresh, updated_at=at)
    )
    if taken:
        return True
    try:
        with transaction.atomic():
            Job.objects.create(name=name, **fresh, updated_at=at)
    except IntegrityError:
        return False
    return True


def report(*, name: str, step: str, done: int, total: int, at: datetime) -> None:
    """Say how far the job is."""
    Job.objects.filter(name=name).update(step=step, done=min(done, total), total=total, updated_at=at)


def finish(*, name: str, at: datetime) -> None:
    """Record that the job is done."""
    Job.objects.filter(name=name).update(state=Job.State.DONE, step="", updated_at=at)


def hand_over(*, name: str, at: datetime) -> None:
    """Leave the rest, from the step reported last, to another process."""
    Job.objects.filter(name=name).update(state=Job.State.WAITING, updated_at=at)


def fail(*, name: str, error: str, at: datetime) -> None:
    """Record why the job ended early."""
    Job.objects.filter(name=name).update(state=Job.State.FAILED, error=error, updated_at=at)
