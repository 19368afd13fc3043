"""Scheduled work: ids in, one service call, failures logged. Each task has a command that calls the same service."""

from __future__ import annotations

import logging

from celery import shared_task
from django.utils import timezone

from recommender.errors import CannotTrain, UnknownStrategy

logger = logging.getLogger(__name__)


@shared_task
def train_due_strategies() -> int:
    """Enqueues a training for each strategy whose interval has passed; returns how many."""
    from recommender.services.training import due_strategies

    slugs = due_strategies(at=timezone.now())
    for slug in slugs:
        train_strategy.delay(slug)
    return len(slugs)


@shared_task
def train_strategy(slug: str) -> str:
    """Trains one strategy; returns the model's status. A training under way elsewhere is no failure."""
    from recommender.services.training import train

    try:
        return train(slug=slug, at=timezone.now()).status
    except (CannotTrain, UnknownStrategy) as error:
        logger.warning("training of %s: %s", slug, error)
        return "failed"
