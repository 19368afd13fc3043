"""Assignment: which arm a unit gets, decided by its hash alone.

The answer depends on the experiment's seed, the unit's id, its attributes and the phase in force, and on nothing
that happened before, with one exception: a unit exposed in an earlier phase keeps its arm. That look-up costs one
query and is made only when it can matter: in a later phase, while paused, for a unit with earlier ids, or for a unit
that a younger holdout took in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from experiments.bucketing.allocation import NO_ARM, in_range
from experiments.bucketing.hashing import BUCKETS, bucket_number
from experiments.choices import AssignmentReason
from experiments.selectors.config import ExperimentConfig, HoldoutConfig, PhaseConfig, ShipConfig, get_config
from experiments.services.assignment_columns import (
    Assignments,
    all_out,
    held_out_columns,
    keep_arms,
    leave_out,
    owners_of,
    serve_shipped_to_many,
    split_many,
    without_units,
)
from experiments.services.assignment_rules import (
    Assignment,
    barred,
    first_exposures,
    is_sticky,
    is_younger,
    phase_at,
)
from experiments.targeting.evaluate import matches
from experiments.targeting.tree import EVERYONE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Assignment", "Assignments", "assign", "assign_many"]

_SPLIT = AssignmentReason.SPLIT


def assign(
    *,
    experiment_key: str,
    unit_type: str,
    unit_id: str,
    attributes: Mapping[str, Any],
    at: datetime,
    aliases: Sequence[str] = (),
) -> Assignment:
    """Assign one unit. `aliases` are ids the unit had before a merge: the first of them exposed keeps its arm.

    Raises `UnknownExperiment`. Costs no query while the configuration is warm, save the look-up named above.
    """
    config = get_config(experiment_key=experiment_key)
    if config is None:
        return _out(experiment_key, AssignmentReason.NOT_STARTED)
    reason = barred(config, unit_type)
    if reason is not None:
        return _out(experiment_key, reason)
    if not unit_id:
        return _out(experiment_key, AssignmentReason.NO_UNIT)
    holdout = _holdout_of(config, unit_id, at) if config.holdouts else None
    lacks = bool(config.prerequisites) and not _meets(config, unit_id, attributes, at, aliases)
    if config.shipped is not None:
        why = AssignmentReason.HELD_OUT if holdout else AssignmentReason.PREREQUISITE if lacks else None
        return _serve_shipped(config, config.shipped, unit_id, attributes, why)
    phase = phase_at(config, at)
    if phase is None:
        return _out(experiment_key, AssignmentReason.NOT_STARTED)
    number = bucket_number(seed_state=config.seed_state, unit_id=unit_id)
    if aliases or is_sticky(config, phase) or (holdout is not None and is_younger(holdout, config)):
        exposed = first_exposures(config, dict.fromkeys((unit_id, *aliases), (unit_id,))).get(unit_id)
        if exposed is not None:
            arm, phase_number = exposed
            return Assignment(
                experiment_key, arm.key, arm.payload, phase_number, number / BUCKETS, AssignmentReason.STICKY, True
            )
    if holdout is not None:
        return Assignment(config.key, None, None, phase.number, number / BUCKETS, AssignmentReason.HELD_OUT, False)
    return _split(config, phase, unit_id, attributes, number, lacks=lacks)


def assign_many(
    *,
    experiment_key: str,
    unit_type: str,
    unit_ids: Sequence[str],
    attributes: Mapping[str, Sequence[Any]],
    at: datetime,
    aliases: Mapping[str, Sequence[str]] | None = None,
) -> Assignments:
    """Assign many units at once; `attributes` holds one column per attribute, `aliases` earlier ids by unit id.

    Gives every unit what `assign` gives it. Raises `UnknownExperiment`, and `ValueError` for a column of another
    length.
    """
    for name, column in attributes.items():
        if len(column) != len(unit_ids):
            raise ValueError(f"attribute {name!r} must have {len(unit_ids)} values, got {len(column)}")
    config = get_config(experiment_key=experiment_key)
    if config is None:
        return all_out(experiment_key, len(unit_ids), AssignmentReason.NOT_STARTED)
    ids = unit_ids if isinstance(unit_ids, list) else list(unit_ids)
    reason = barred(config, unit_type)
    if reason is not None:
        return all_out(experiment_key, len(ids), reason)
    held_out, is_late = held_out_columns(config, ids, at)
    lacks = _lacking(config, ids, attributes, at, aliases) if config.prerequisites else None
    if config.shipped is not None:
        return serve_shipped_to_many(config, config.shipped, ids, attributes, held_out, lacks=lacks)
    phase = phase_at(config, at)
    if phase is None:
        result = all_out(experiment_key, len(ids), AssignmentReason.NOT_STARTED)
        return without_units(result, ids)
    result = split_many(config, phase, ids, attributes, lacks)
    leave_out(result, held_out, AssignmentReason.HELD_OUT)
    keep_arms(result, config, ids, owners_of(config, phase, ids, aliases or {}, is_late))
    return without_units(result, ids)


def _split(
    config: ExperimentConfig,
    phase: PhaseConfig,
    unit_id: str,
    attributes: Mapping[str, Any],
    number: int,
    *,
    lacks: bool,
) -> Assignment:
    layer = config.layer
    if config.is_paused:
        reason = AssignmentReason.PAUSED
    elif layer is not None and not in_range(
        number=bucket_number(seed_state=layer.seed_state, unit_id=unit_id), lower=layer.lower, upper=layer.upper
    ):
        reason = AssignmentReason.LAYER
    elif lacks:
        reason = AssignmentReason.PREREQUISITE
    elif phase.rule is not EVERYONE and not matches(phase.rule, attributes):
        reason = AssignmentReason.TARGETING
    else:
        position = phase.table[number]
        if position != NO_ARM:
            arm = config.arms[position]
            return Assignment(config.key, arm.key, arm.payload, phase.number, number / BUCKETS, _SPLIT, True)
        reason = AssignmentReason.COVERAGE
    return Assignment(config.key, None, None, phase.number, number / BUCKETS, reason, False)


def _meets(
    config: ExperimentConfig, unit_id: str, attributes: Mapping[str, Any], at: datetime, aliases: Sequence[str]
) -> bool:
    """Whether every experiment that is required serves the unit the arm that is required. They form no cycle."""
    return all(
        assign(
            experiment_key=needed.key,
            unit_type=config.unit_type,
            unit_id=unit_id,
            attributes=attributes,
            at=at,
            aliases=aliases,
        ).arm_key
        == needed.arm_key
        for needed in config.prerequisites
    )


def _lacking(
    config: ExperimentConfig,
    ids: list[str],
    attributes: Mapping[str, Sequence[Any]],
    at: datetime,
    aliases: Mapping[str, Sequence[str]] | None,
) -> NDArray[np.bool_]:
    """Which units an experiment that is required does not serve the arm that is required."""
    import numpy as np

    lacks = np.zeros(len(ids), dtype=bool)
    for needed in config.prerequisites:
        got = assign_many(
            experiment_key=needed.key,
            unit_type=config.unit_type,
            unit_ids=ids,
            attributes=attributes,
            at=at,
            aliases=aliases,
        )
        wanted = [position for position, arm in enumerate(got.arms) if arm.key == needed.arm_key]
        lacks |= ~np.isin(got.positions, wanted)
    return lacks


def _serve_shipped(
    config: ExperimentConfig,
    shipped: ShipConfig,
    unit_id: str,
    attributes: Mapping[str, Any],
    kept_out: AssignmentReason | None,
) -> Assignment:
    phase = config.phases[-1]
    reason = AssignmentReason.SHIPPED
    if kept_out is not None:
        reason = kept_out
    elif not matches(phase.rule, attributes):
        reason = AssignmentReason.TARGETING
    elif in_range(
        number=bucket_number(seed_state=shipped.seed_state, unit_id=unit_id), lower=0.0, upper=shipped.holdback
    ):
        reason = AssignmentReason.HOLDBACK
    arm = shipped.arm if reason == AssignmentReason.SHIPPED else None
    return Assignment(
        config.key,
        None if arm is None else arm.key,
        None if arm is None else arm.payload,
        phase.number,
        None,
        reason,
        False,
    )


def _out(experiment_key: str, reason: AssignmentReason) -> Assignment:
    return Assignment(experiment_key, None, None, None, None, reason, False)


def _holdout_of(config: ExperimentConfig, unit_id: str, at: datetime) -> HoldoutConfig | None:
    """The holdout that the unit is in at a time, if any; the oldest, where it is in several."""
    for holdout in config.holdouts:
        if holdout.is_in_force(at) and in_range(
            number=bucket_number(seed_state=holdout.seed_state, unit_id=unit_id), lower=0.0, upper=holdout.share
        ):
            return holdout
    return None
