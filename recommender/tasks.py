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


@shared_task
def prepare_slates(
    *, batch: str, user_ids: list[str], k: int, strategy: str, context: dict[str, str], held_by: str = ""
) -> int:
    """Makes slates ahead for some people of a batch; returns how many. May be repeated."""
    from recommender.services import prepared

    try:
        return prepared.prepare_slates(
            batch=batch,
            user_ids=user_ids,
            k=k,
            strategy=strategy,
            context=context,
            at=timezone.now(),
            held_by=held_by,
        )
    except UnknownStrategy as error:
        logger.warning("slates of %s are not prepared: %s", batch, error)
        return 0


@shared_task
def drop_old_slates() -> int:
    """Removes prepared slates that nobody took within a week."""
    from recommender.services import prepared

    return prepared.drop_old_slates(at=timezone.now())
