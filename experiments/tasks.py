"""Scheduled work: ids in, one service call, failures recorded. Heavy imports happen in the task."""

from __future__ import annotations

import logging

from celery import Task, shared_task
from django.db import OperationalError
from django.utils import timezone

logger = logging.getLogger(__name__)

# Below the lock's time and the hard limit, so that a refresh that takes too long is told as failed.
REFRESH_SECONDS = 25 * 60
RETRIES = 3
FIRST_WAIT_SECONDS = 10


@shared_task
def refresh_running_experiments() -> int:
    """Enqueue one refresh for each experiment whose results can still change."""
    from experiments.services.refresh import refreshable_ids
    from experiments.services.surveys import waiting_ids

    ids = refreshable_ids()
    for experiment_id in ids:
        refresh_experiment.delay(experiment_id)
    for metric_id in waiting_ids():  # whose doorbell was lost
        survey_metric.delay(metric_id)
    return len(ids)


@shared_task(bind=True, max_retries=RETRIES, soft_time_limit=REFRESH_SECONDS)
def refresh_experiment(self: Task, experiment_id: int) -> str:  # type: ignore[type-arg]  # generic in the stubs only
    """Refresh one experiment's stored results; a second one at the same time does nothing.

    A database that cannot be reached is asked again a few times before the failure is recorded.
    """
    from experiments.errors import UnknownExperiment
    from experiments.services import refresh

    at = timezone.now()
    try:
        return refresh.refresh_experiment(experiment_id=experiment_id, at=at).status
    except UnknownExperiment:
        logger.info("experiment %s was deleted before its refresh", experiment_id)
        return "deleted"
    except OperationalError as error:
        if not self.request.called_directly and self.request.retries < RETRIES:
            raise self.retry(exc=error, countdown=FIRST_WAIT_SECONDS * 2**self.request.retries) from error
        return _failed(experiment_id, error)
    except Exception as error:  # noqa: BLE001 - a task's border: `_failed` logs and records it
        return _failed(experiment_id, error)


@shared_task
def apply_ramps() -> int:
    """Raise the coverage of experiments whose ramp has a step that is due; the command is `ramp`."""
    from experiments.services import ramp

    return len(ramp.apply_due_steps(at=timezone.now()).raised)


@shared_task(soft_time_limit=REFRESH_SECONDS)
def certify_experiment(experiment_key: str) -> str:
    """Test an experiment on the past; the command is `certify`. Asked for by a person, who looks again."""
    from experiments.errors import ExperimentsError
    from experiments.services import certificate

    try:
        certificate.certify(experiment_key=experiment_key, at=timezone.now())
    except ExperimentsError as error:
        logger.warning("experiment %s cannot be certified: %s", experiment_key, error)
        return "impossible"
    return "ok"


@shared_task(soft_time_limit=REFRESH_SECONDS)
def update_ledger() -> int:
    """Compute the quarters of the holdout ledger that are not settled; the command is `update_ledger`."""
    from experiments.services import ledger

    return len(ledger.update_ledger(at=timezone.now()))


@shared_task
def send_alerts() -> None:
    """Send what waits in the outbox of alerts, and invitations to the digest; the command is `send_alerts`."""
    from experiments.services import alert_delivery, digest

    at = timezone.now()
    alert_delivery.send_due(at=at)
    digest.send_invitations(at=at)


@shared_task
def send_digests() -> None:
    """Send the digest of the week to whoever has not got it; the command is `send_alerts --digest`."""
    from experiments.services import digest

    digest.send_digests(at=timezone.now())


@shared_task
def survey_metric(metric_id: int) -> str:
    """Make the survey of one metric."""
    from experiments.services import surveys

    at = timezone.now()
    try:
        return "ok" if surveys.make_survey(metric_id=metric_id, at=at) else "deleted"
    except Exception as error:
        logger.exception("survey of metric %s failed", metric_id)
        surveys.record_survey_failure(metric_id=metric_id, at=at, error=error)
        return "failed"


def _failed(experiment_id: int, error: Exception) -> str:
    from experiments.services import refresh

    logger.error("refresh of experiment %s failed", experiment_id, exc_info=error)
    refresh.record_failure(experiment_id=experiment_id, at=timezone.now(), error=error)
    return "failed"
