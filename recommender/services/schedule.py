"""Which trainings are due."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import F, Q

from recommender.choices import ModelStatus
from recommender.models import ModelVersion, StrategyVersion

RETRY = timedelta(hours=1)
"""A new installation has no events at first: the first training must not wait for a day after the first attempt."""


class Due(NamedTuple):
    """One training to be made."""

    slug: str
    version: int


def due_trainings(*, at: datetime) -> list[Due]:
    """Versions in use (the current ones, and those that somebody holds) that were not trained within their interval.

    A failed attempt is repeated after an hour. Strategies that are switched off rest.
    """
    in_use = Q(strategy__current_version=F("pk")) | Q(holds__isnull=False, holds__until=None)
    versions = StrategyVersion.objects.filter(in_use, strategy__is_active=True).select_related("strategy").distinct()
    due = []
    for version in versions.order_by("strategy__pk", "-number"):
        last = ModelVersion.objects.filter(strategy_version=version).order_by("-started_at", "-pk").first()
        wait = timedelta(hours=version.strategy.retrain_hours)
        if last is not None and last.status == ModelStatus.FAILED:
            wait = min(wait, RETRY)
        if last is None or last.started_at + wait <= at:
            due.append(Due(version.strategy.slug, version.number))
    return due
