"""From when on the analyses need events."""

from __future__ import annotations

from datetime import timedelta

from experiments.choices import ExperimentStatus
from experiments.models import Experiment

# Results of these can still change, and are computed from the events in the database.
_CHANGING = (ExperimentStatus.RUNNING, ExperimentStatus.PAUSED, ExperimentStatus.STOPPED)
_EPOCH_SECONDS = 1_000_000


def facts_since(*, experiment_key: str) -> int | None:
    """The earliest moment (µs) of which this experiment may need events; None before its start."""
    experiment = Experiment.objects.filter(key=experiment_key).prefetch_related("metrics__metric").first()
    return None if experiment is None else _since(experiment)


def open_facts_since() -> int | None:
    """The earliest moment (µs) of which any experiment needs events whose results can still change."""
    rows = Experiment.objects.filter(status__in=_CHANGING, facts="").prefetch_related("metrics__metric")
    return min((since for experiment in rows if (since := _since(experiment)) is not None), default=None)


def _since(experiment: Experiment) -> int | None:
    if experiment.started_at is None:
        return None
    days = max((use.metric.decoded().lookback_days for use in experiment.metrics.all()), default=0)
    return round((experiment.started_at - timedelta(days=days)).timestamp() * _EPOCH_SECONDS)
