"""Assignment in columns: numpy over all units at once, for `assign_many`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from experiments.bucketing.allocation import NO_ARM
from experiments.bucketing.hashing import BUCKETS
from experiments.choices import AssignmentReason
from experiments.selectors.config import ArmConfig, ExperimentConfig, PhaseConfig, ShipConfig
from experiments.services.assignment_rules import IN_EXPERIMENT, Assignment, first_exposures, is_sticky, is_younger
from experiments.targeting.evaluate import matches
from experiments.targeting.tree import EVERYONE, attributes_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_REMEMBERED_VALUES = 100_000
"""Distinct combinations of attribute values whose answer is kept: bounds the memory of a bulk assignment."""
_REASONS = tuple(reason.value for reason in AssignmentReason)
_CODES = {reason: code for code, reason in enumerate(_REASONS)}


@dataclass(frozen=True, slots=True)
class Assignments:
    """What many units get, in columns; indexing gives what `assign` gives for that unit.

    `positions` are positions in `arms`, −1 where there is none; `phases` are numbers, 0 where there is none;
    `bucket_numbers` are in 0…9999, −1 where there is none; `reason_codes` are positions in `reasons`.
    """

    experiment_key: str
    arms: tuple[ArmConfig, ...]
    positions: NDArray[np.int16]
    phases: NDArray[np.int32]
    bucket_numbers: NDArray[np.int32]
    reason_codes: NDArray[np.uint8]
    reasons: tuple[str, ...] = _REASONS

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: int) -> Assignment:
        position, number = int(self.positions[index]), int(self.bucket_numbers[index])
        arm = self.arms[position] if position >= 0 else None
        reason = self.reasons[self.reason_codes[index]]
        return Assignment(
            experiment_key=self.experiment_key,
            arm_key=None if arm is None else arm.key,
            payload=None if arm is None else arm.payload,
            phase=int(self.phases[index]) or None,
            bucket=None if number < 0 else number / BUCKETS,
            reason=reason,
            is_in=reason in IN_EXPERIMENT,
        )

    def __iter__(self) -> Iterator[Assignment]:
        return (self[index] for index in range(len(self)))

    @property
    def is_in(self) -> NDArray[np.bool_]:
        """Which units are in the experiment."""
        import numpy as np

        return np.isin(self.reason_codes, [_CODES[reason] for reason in IN_EXPERIMENT])


def split_many(
    config: ExperimentConfig,
    phase: PhaseConfig,
    ids: list[str],
    attributes: Mapping[str, Sequence[Any]],
    lacks: NDArray[np.bool_] | None,
) -> Assignments:
    """What every unit gets by its hash, whatever it was exposed to before; `lacks`: which lack a prerequisite."""
    import numpy as np

    from experiments.bucketing.vectorized import bucket_numbers

    numbers = bucket_numbers(seed_state=config.seed_state, unit_ids=ids)
    positions = np.frombuffer(phase.table, dtype=np.uint8)[numbers].astype(np.int16)
    positions[positions == NO_ARM] = -1
    codes = np.where(positions < 0, _CODES[AssignmentReason.COVERAGE], _CODES[AssignmentReason.SPLIT]).astype(np.uint8)
    phases = np.full(len(ids), phase.number, dtype=np.int32)
    result = Assignments(config.key, config.arms, positions, phases, numbers.astype(np.int32), codes)
    # From the last check to the first, so that the first reason that applies is the one that stays.
    if phase.rule is not EVERYONE:
        leave_out(result, ~_targeted(phase, attributes, len(ids)), AssignmentReason.TARGETING)
    if lacks is not None:
        leave_out(result, lacks, AssignmentReason.PREREQUISITE)
    if config.layer is not None:
        shares = bucket_numbers(seed_state=config.layer.seed_state, unit_ids=ids) / BUCKETS
        is_inside = (config.layer.lower <= shares) & (shares < config.layer.upper)
        leave_out(result, ~is_inside, AssignmentReason.LAYER)
    if config.is_paused:
        leave_out(result, np.ones(len(ids), dtype=bool), AssignmentReason.PAUSED)
    return result


def leave_out(assignments: Assignments, mask: NDArray[np.bool_], reason: AssignmentReason) -> None:
    """Give these units the default, for this reason."""
    assignments.positions[mask] = -1
    assignments.reason_codes[mask] = _CODES[reason]


def keep_arms(
    assignments: Assignments, config: ExperimentConfig, ids: list[str], owners: Mapping[str, Sequence[str]]
) -> None:
    """Give units that were exposed earlier the arm and the phase of that exposure."""
    exposed = first_exposures(config, owners)
    index_of = {arm.id: position for position, arm in enumerate(config.arms)}
    for index, unit_id in enumerate(ids) if exposed else ():
        if unit_id in exposed:
            arm, assignments.phases[index] = exposed[unit_id]
            assignments.positions[index] = index_of[arm.id]
            assignments.reason_codes[index] = _CODES[AssignmentReason.STICKY]


def held_out_columns(
    config: ExperimentConfig, ids: list[str], at: datetime
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which units are in a holdout, and which of them may have been exposed before it began."""
    import numpy as np

    from experiments.bucketing.vectorized import bucket_numbers

    held_out, is_late = np.zeros(len(ids), dtype=bool), np.zeros(len(ids), dtype=bool)
    for holdout in config.holdouts:
        if holdout.is_in_force(at):
            is_new = ~held_out & (bucket_numbers(seed_state=holdout.seed_state, unit_ids=ids) / BUCKETS < holdout.share)
            held_out |= is_new
            is_late |= is_new & is_younger(holdout, config)
    return held_out, is_late


def owners_of(
    config: ExperimentConfig,
    phase: PhaseConfig,
    ids: list[str],
    aliases: Mapping[str, Sequence[str]],
    is_late: NDArray[np.bool_],
) -> dict[str, list[str]]:
    """The ids whose earlier exposures matter, each with the units that have had it."""
    is_asked_for_all = is_sticky(config, phase)
    owners: dict[str, list[str]] = {}
    if not is_asked_for_all and not aliases and not is_late.any():
        return owners
    for unit_id, was_late in zip(ids, is_late.tolist(), strict=True):
        if is_asked_for_all or was_late or aliases.get(unit_id):
            for alias in (unit_id, *aliases.get(unit_id, ())):
                owners.setdefault(alias, []).append(unit_id)
    return owners


def serve_shipped_to_many(
    config: ExperimentConfig,
    shipped: ShipConfig,
    ids: list[str],
    attributes: Mapping[str, Sequence[Any]],
    held_out: NDArray[np.bool_],
    *,
    lacks: NDArray[np.bool_] | None,
) -> Assignments:
    """The shipped arm for every targeted unit that is neither held back nor held out nor lacks a prerequisite."""
    import numpy as np

    from experiments.bucketing.vectorized import bucket_numbers

    phase = config.phases[-1]
    position = [arm.id for arm in config.arms].index(shipped.arm.id)
    held_back = bucket_numbers(seed_state=shipped.seed_state, unit_ids=ids) / BUCKETS < shipped.holdback
    targeted = _targeted(phase, attributes, len(ids))
    codes = np.full(len(ids), _CODES[AssignmentReason.SHIPPED], dtype=np.uint8)
    codes[held_back] = _CODES[AssignmentReason.HOLDBACK]
    codes[~targeted] = _CODES[AssignmentReason.TARGETING]
    result = Assignments(
        config.key,
        config.arms,
        np.where(targeted & ~held_back, position, -1).astype(np.int16),
        np.full(len(ids), phase.number, dtype=np.int32),
        np.full(len(ids), -1, dtype=np.int32),
        codes,
    )
    if lacks is not None:
        leave_out(result, lacks, AssignmentReason.PREREQUISITE)
    leave_out(result, held_out, AssignmentReason.HELD_OUT)
    return without_units(result, ids)


def _targeted(phase: PhaseConfig, attributes: Mapping[str, Sequence[Any]], count: int) -> NDArray[np.bool_]:
    """Which units the rule matches; each combination of values is evaluated once."""
    import numpy as np

    names = [name for name in attributes_of(phase.rule) if name in attributes]
    if not names:
        return np.full(count, matches(phase.rule, {}))
    columns = [_plain(attributes[name]) for name in names]
    known: dict[Any, bool] = {}
    answers = np.empty(count, dtype=bool)
    for index, values in enumerate(zip(*columns, strict=True)):
        # repr tells apart what == confuses (1, 1.0 and true), and serves lists, which cannot be hashed.
        key = repr(values)
        answer = known.get(key)
        if answer is None:
            answer = matches(phase.rule, dict(zip(names, values, strict=True)))
            if len(known) < _REMEMBERED_VALUES:
                known[key] = answer
        answers[index] = answer
    return answers


def _plain(column: Sequence[Any]) -> Sequence[Any]:
    """Python values of a numpy or Arrow column: the rules know no numpy scalars."""
    for method in ("tolist", "to_pylist"):
        if hasattr(column, method):
            plain: list[Any] = getattr(column, method)()
            return plain
    return column


def without_units(assignments: Assignments, ids: list[str]) -> Assignments:
    """Leave out the units without an id, as `assign` does first of all."""
    if "" in ids:
        import numpy as np

        empty = np.fromiter((not unit_id for unit_id in ids), dtype=bool, count=len(ids))
        assignments.positions[empty] = -1
        assignments.phases[empty] = 0
        assignments.bucket_numbers[empty] = -1
        assignments.reason_codes[empty] = _CODES[AssignmentReason.NO_UNIT]
    return assignments


def all_out(experiment_key: str, count: int, reason: AssignmentReason) -> Assignments:
    import numpy as np

    return Assignments(
        experiment_key=experiment_key,
        arms=(),
        positions=np.full(count, -1, dtype=np.int16),
        phases=np.zeros(count, dtype=np.int32),
        bucket_numbers=np.full(count, -1, dtype=np.int32),
        reason_codes=np.full(count, _CODES[reason], dtype=np.uint8),
    )
