"""The change log: what an experiment looked like after each transition, and who made it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F

from experiments.models import ChangeLog, Experiment, Phase
from experiments.selectors.config import clear_config_cache
from experiments.selectors.ramp import ramp_of

OBJECT_TYPE = "experiment"
SNAPSHOT_SCHEMA = 1


def record_change(*, experiment: Experiment, transition: str, actor: User | None, at: datetime, message: str) -> None:
    """Write one row. Called in the transaction of the change it records; this process sees the change at once."""
    ChangeLog.objects.create(
        object_type=OBJECT_TYPE,
        object_id=experiment.pk,
        transition=transition,
        actor=actor,
        at=at,
        message=message,
        snapshot=snapshot_of(experiment),
    )
    clear_config_cache()
    transaction.on_commit(clear_config_cache)


def touch(*, experiment: Experiment, status: str) -> bool:
    """Take the row and count a change; False if the status is not `status` any more."""
    return Experiment.objects.filter(pk=experiment.pk, status=status).update(version=F("version") + 1) == 1


def snapshot_of(experiment: Experiment) -> dict[str, Any]:
    """The whole record of an experiment as JSON, without its facts and results."""
    fields = {field.attname: getattr(experiment, field.attname) for field in Experiment._meta.concrete_fields}
    return {
        "schema": SNAPSHOT_SCHEMA,
        **{name: value.isoformat() if isinstance(value, datetime) else value for name, value in fields.items()},
        "arms": list(experiment.arms.order_by("position").values("key", "name", "is_control", "payload", "position")),
        "requires": list(experiment.prerequisites.order_by("pk").values("required__key", "arm_key")),
        "phases": [_phase(phase) for phase in experiment.phases.order_by("number")],
        "metrics": list(
            experiment.metrics.order_by("pk").values(
                "metric__key", "metric__version", "role", "margin", "ceiling", "window_hours"
            )
        ),
        "decisions": [
            {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
            for row in experiment.decisions.order_by("pk").values(
                "outcome", "arm__key", "holdback", "reason", "at", "by_id", "reverted_at", "reverted_by_id"
            )
        ],
    }


def _phase(phase: Phase) -> dict[str, Any]:
    return {
        "number": phase.number,
        "coverage": phase.coverage,
        "ramp": ramp_of(phase=phase),
        "targeting": phase.targeting,
        "started_at": None if phase.started_at is None else phase.started_at.isoformat(),
        "ended_at": None if phase.ended_at is None else phase.ended_at.isoformat(),
        "weights": {
            row.arm.key: row.weight for row in phase.phase_arms.select_related("arm").order_by("arm__position")
        },
    }
