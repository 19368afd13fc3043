"""Scheduled work: ids in, one service call, failures recorded. Heavy imports happen in the task."""

from __future__ import annotations

import logging

from celery import shared_task
from django.utils import timezone

logger = logging.getLogger(__name__)


@shared_task
def refresh_running_experiments() -> int:
    """Enqueue one refresh for each experiment whose results can still change."""
    from experiments.services.refresh import refreshable_ids

    ids = refreshable_ids()
    for experiment_id in ids:
        refresh_experiment.delay(experiment_id)
    return len(ids)


@shared_task
def refresh_experiment(experiment_id: int) -> str:
    """Refresh one experiment's stored results; a second one at the same time does nothing."""
    from experiments.errors import UnknownExperiment
    from experiments.services import refresh

    at = timezone.now()
    try:
        return refresh.refresh_experiment(experiment_id=experiment_id, at=at).status
    except UnknownExperiment:
        logger.info("experiment %s was deleted before its refresh", experiment_id)
        return "deleted"
    except Exception as error:
        logger.exception("refresh of experiment %s failed", experiment_id)
        refresh.record_failure(experiment_id=experiment_id, at=at, error=error)
        return "failed"
