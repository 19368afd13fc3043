"""What one unit and a million are assigned by: the rules that `assign` and `assign_many` share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from experiments.choices import AssignmentReason
from experiments.models import Exposure
from experiments.selectors.config import ArmConfig, ExperimentConfig, HoldoutConfig, PhaseConfig

_LOOK_UP_CHUNK = 5_000
"""Units per query when earlier exposures of many are looked up: below every database's limit of parameters."""
IN_EXPERIMENT = (AssignmentReason.SPLIT, AssignmentReason.STICKY)
"""The reasons with which a unit is in the experiment."""


class Assignment(NamedTuple):
    """What one unit gets. `arm_key` None: serve the default. `is_in`: the unit is in the experiment, so that
    reaching the point where the arms part is an exposure. A shipped arm has an `arm_key` and is not in.

    A named tuple, because making a frozen dataclass takes a fifth of the time of a whole decision.
    """

    experiment_key: str
    arm_key: str | None
    payload: Any
    phase: int | None
    bucket: float | None
    reason: str
    is_in: bool


def barred(config: ExperimentConfig, unit_type: str) -> AssignmentReason | None:
    """Why no unit of this type is served an arm, if so."""
    if config.unit_type != unit_type:
        return AssignmentReason.UNIT_TYPE
    if config.shipped is None and not config.is_live:
        return AssignmentReason.STOPPED
    return None


def phase_at(config: ExperimentConfig, at: datetime) -> PhaseConfig | None:
    """The phase in force at a time: the last that had started."""
    for phase in reversed(config.phases):
        if phase.started_at <= at:
            return phase
    return None


def is_sticky(config: ExperimentConfig, phase: PhaseConfig) -> bool:
    return phase.number > 1 or config.is_paused


def is_younger(holdout: HoldoutConfig, config: ExperimentConfig) -> bool:
    """Whether units may have been exposed before they were held out: they keep their arm."""
    return holdout.starts_at > config.started_at


def first_exposures(config: ExperimentConfig, owners: Mapping[str, Sequence[str]]) -> dict[str, tuple[ArmConfig, int]]:
    """The arm and phase of each unit's earliest exposure; `owners` maps an id to the units that have had it."""
    arms = {arm.id: arm for arm in config.arms}
    numbers = {phase.id: phase.number for phase in config.phases}
    first: dict[str, tuple[int, int, int]] = {}
    ids = list(owners)
    for start in range(0, len(ids), _LOOK_UP_CHUNK):
        rows = Exposure.objects.filter(
            experiment_id=config.id, unit_type=config.unit_type, unit_id__in=ids[start : start + _LOOK_UP_CHUNK]
        ).values_list("unit_id", "first_at", "arm_id", "phase_id")
        for unit_id, *exposure in rows.iterator():
            first_at, arm_id, phase_id = exposure
            for owner in owners[unit_id]:
                first[owner] = min(first.get(owner, (first_at, arm_id, phase_id)), (first_at, arm_id, phase_id))
    return {owner: (arms[arm_id], numbers[phase_id]) for owner, (_, arm_id, phase_id) in first.items()}
