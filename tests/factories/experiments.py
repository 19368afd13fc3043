"""Experiments in legal states, made through the services."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from experiments.models import Experiment
from experiments.services import decision, lifecycle
from experiments.services.design import ArmSpec, Design, MetricSpec, create_experiment
from experiments.services.exposure import ExposureRow, microseconds, record_many
from experiments.services.metrics import ensure_builtin_metrics

T0 = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
"""When experiments of tests are made; they start an hour later."""
STARTED = T0 + timedelta(hours=1)

_numbers = itertools.count(1)


def make_design(**overrides: Any) -> Design:
    """A design that passes the launch checklist."""
    key = f"experiment-{next(_numbers)}"
    fields: dict[str, Any] = {
        "key": key,
        "name": key.replace("-", " ").capitalize(),
        "arms": (
            ArmSpec(key="control", name="Control", weight=0.5, is_control=True, payload={"title": "plain"}),
            ArmSpec(key="treatment", name="Treatment", weight=0.5, payload={"title": "new"}),
        ),
        "metrics": (MetricSpec(key="conversion", role="primary"),),
        "planned_size": 1_000,
    }
    return Design(**{**fields, **overrides})


def make_experiment(*, status: str = "draft", shipped: str = "treatment", **overrides: Any) -> Experiment:
    """An experiment that reached `status` on the usual way; overrides are fields of `Design`."""
    ensure_builtin_metrics()
    experiment = create_experiment(design=make_design(**overrides), at=T0)
    key = experiment.key
    if status != "draft":
        lifecycle.start(experiment_key=key, at=STARTED)
    later = STARTED + timedelta(days=14)
    if status == "paused":
        lifecycle.pause(experiment_key=key, at=later)
    if status in {"stopped", "archived"}:
        lifecycle.stop(experiment_key=key, at=later)
    if status == "decided":
        decision.decide(experiment_key=key, outcome="ship", arm_key=shipped, reason="It won.", at=later)
    if status == "archived":
        lifecycle.archive(experiment_key=key, at=later + timedelta(days=1))
    experiment.refresh_from_db()
    return experiment


def expose(
    experiment: Experiment, *unit_ids: str, arm: str = "treatment", phase: int = 1, at: datetime = STARTED
) -> None:
    """Record that units saw an arm."""
    rows: Sequence[ExposureRow] = [
        ExposureRow(
            experiment_key=experiment.key,
            unit_type=experiment.unit_type,
            unit_id=unit_id,
            arm_key=arm,
            phase=phase,
            at=microseconds(at),
            source="test",
        )
        for unit_id in unit_ids
    ]
    result = record_many(rows=rows)
    assert not result.rejected, result.rejected
