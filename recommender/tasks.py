"""Scheduled work: ids in, one service call, failures logged. Each task has a command that calls the same service."""

from __future__ import annotations

import logging

from celery import shared_task
from django.utils import timezone

from recommender.errors import CannotTrain, UnknownStrategy

logger = logging.getLogger(__name__)


@shared_task
def train_due_strategies() -> int:
    """Enqueues a training for each version in use whose interval has passed; returns how many."""
    from recommender.services.schedule import due_trainings

    due = due_trainings(at=timezone.now())
    for training in due:
        train_strategy.delay(training.slug, training.version)
    return len(due)


@shared_task
def train_strategy(slug: str, version: int | None = None) -> str:
    """Trains one strategy (its current version); returns the model's status. One under way elsewhere is no failure."""
    from recommender.services.training import train

    try:
        return train(slug=slug, version=version, at=timezone.now()).status
    except (CannotTrain, UnknownStrategy) as error:
        logger.warning("training of %s: %s", slug, error)
        return "failed"
