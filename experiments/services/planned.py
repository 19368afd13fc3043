"""The metrics of an experiment as the facts compute them."""

from __future__ import annotations

from experiments.facts.expressions import PlannedMetric
from experiments.models import Experiment, ExperimentMetric
from experiments.ports import decode_definition


def planned_metrics(experiment: Experiment) -> tuple[tuple[ExperimentMetric, ...], tuple[PlannedMetric, ...]]:
    """The metrics of an experiment in their order, with the windows that it gives them."""
    uses = tuple(experiment.metrics.select_related("metric").order_by("pk"))
    return uses, tuple(_planned(index, use) for index, use in enumerate(uses))


def _planned(index: int, use: ExperimentMetric) -> PlannedMetric:
    """The metric with the window that this experiment gives it."""
    stored = dict(use.metric.definition)
    if use.window_hours is not None:
        stored["window_hours"] = use.window_hours
    return PlannedMetric(index=index, key=use.metric.key, definition=decode_definition(stored))
