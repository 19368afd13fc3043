"""Assignment: which arm a unit gets, decided by its hash alone.

The answer depends on the experiment's seed, the unit's id, its attributes and the phase in force, and on nothing
that happened before, with one exception: a unit exposed in an earlier phase keeps its arm. That look-up costs one
query and is made only when it can matter: in a later phase, while paused, or for a unit with earlier ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.bucketing.allocation import NO_ARM, in_range
from experiments.bucketing.hashing import BUCKETS, bucket_number
from experiments.choices import AssignmentReason
from experiments.models import Exposure
from experiments.selectors.config import ArmConfig, ExperimentConfig, PhaseConfig, ShipConfig, get_config
from experiments.targeting.evaluate import matches
from experiments.targeting.tree import EVERYONE, attributes_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LOOK_UP_CHUNK = 5_000
"""Units per query when earlier exposures of many are looked up: below every database's limit of parameters."""
_REMEMBERED_VALUES = 100_000
"""Distinct combinations of attribute values whose answer is kept: bounds the memory of a bulk assignment."""
_REASONS = tuple(reason.value for reason in AssignmentReason)
_CODES = {reason: code for code, reason in enumerate(_REASONS)}
_SPLIT = AssignmentReason.SPLIT
_IN = (_SPLIT, AssignmentReason.STICKY)


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
            is_in=reason in _IN,
        )

    def __iter__(self) -> Iterator[Assignment]:
        return (self[index] for index in range(len(self)))

    @property
    def is_in(self) -> NDArray[np.bool_]:
        """Which units are in the experiment."""
        import numpy as np

        return np.isin(self.reason_codes, [_CODES[reason] for reason in _IN])


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
    barred = _barred(config, unit_type)
    if barred is not None:
        return _out(experiment_key, barred)
    if not unit_id:
        return _out(experiment_key, AssignmentReason.NO_UNIT)
    if config.shipped is not None:
        return _serve_shipped(config, config.shipped, unit_id, attributes)
    phase = _phase_at(config, at)
    if phase is None:
        return _out(experiment_key, AssignmentReason.NOT_STARTED)
    number = bucket_number(seed_state=config.seed_state, unit_id=unit_id)
    if aliases or _is_sticky(config, phase):
        exposed = _first_exposures(config, dict.fromkeys((unit_id, *aliases), (unit_id,))).get(unit_id)
        if exposed is not None:
            arm, phase_number = exposed
            return Assignment(
                experiment_key, arm.key, arm.payload, phase_number, number / BUCKETS, AssignmentReason.STICKY, True
            )
    return _split(config, phase, unit_id, attributes, number)


def _split(
    config: ExperimentConfig, phase: PhaseConfig, unit_id: str, attributes: Mapping[str, Any], number: int
) -> Assignment:
    layer = config.layer
    if config.is_paused:
        reason = AssignmentReason.PAUSED
    elif layer is not None and not in_range(
        number=bucket_number(seed_state=layer.seed_state, unit_id=unit_id), lower=layer.lower, upper=layer.upper
    ):
        reason = AssignmentReason.LAYER
    elif phase.rule is not EVERYONE and not matches(phase.rule, attributes):
        reason = AssignmentReason.TARGETING
    else:
        position = phase.table[number]
        if position != NO_ARM:
            arm = config.arms[position]
            return Assignment(config.key, arm.key, arm.payload, phase.number, number / BUCKETS, _SPLIT, True)
        reason = AssignmentReason.COVERAGE
    return Assignment(config.key, None, None, phase.number, number / BUCKETS, reason, False)


def _serve_shipped(
    config: ExperimentConfig, shipped: ShipConfig, unit_id: str, attributes: Mapping[str, Any]
) -> Assignment:
    phase = config.phases[-1]
    reason = AssignmentReason.SHIPPED
    if not matches(phase.rule, attributes):
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


def _barred(config: ExperimentConfig, unit_type: str) -> AssignmentReason | None:
    """Why no unit of this type is served an arm, if so."""
    if config.unit_type != unit_type:
        return AssignmentReason.UNIT_TYPE
    if config.shipped is None and not config.is_live:
        return AssignmentReason.STOPPED
    return None


def _phase_at(config: ExperimentConfig, at: datetime) -> PhaseConfig | None:
    """The phase in force at a time: the last that had started."""
    for phase in reversed(config.phases):
        if phase.started_at <= at:
            return phase
    return None


def _is_sticky(config: ExperimentConfig, phase: PhaseConfig) -> bool:
    return phase.number > 1 or config.is_paused


def _first_exposures(config: ExperimentConfig, owners: Mapping[str, Sequence[str]]) -> dict[str, tuple[ArmConfig, int]]:
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
        return _all_out(experiment_key, len(unit_ids), AssignmentReason.NOT_STARTED)
    ids = unit_ids if isinstance(unit_ids, list) else list(unit_ids)
    barred = _barred(config, unit_type)
    if barred is not None:
        return _all_out(experiment_key, len(ids), barred)
    if config.shipped is not None:
        return _serve_shipped_to_many(config, config.shipped, ids, attributes)
    phase = _phase_at(config, at)
    if phase is None:
        result = _all_out(experiment_key, len(ids), AssignmentReason.NOT_STARTED)
        return _without_units(result, ids)
    return _split_many(config, phase, ids, attributes, aliases or {})


def _split_many(
    config: ExperimentConfig,
    phase: PhaseConfig,
    ids: list[str],
    attributes: Mapping[str, Sequence[Any]],
    aliases: Mapping[str, Sequence[str]],
) -> Assignments:
    import numpy as np

    from experiments.bucketing.vectorized import bucket_numbers

    numbers = bucket_numbers(seed_state=config.seed_state, unit_ids=ids)
    positions = np.frombuffer(phase.table, dtype=np.uint8)[numbers].astype(np.int16)
    positions[positions == NO_ARM] = -1
    codes = np.where(positions < 0, _CODES[AssignmentReason.COVERAGE], _CODES[AssignmentReason.SPLIT]).astype(np.uint8)
    phases = np.full(len(ids), phase.number, dtype=np.int32)

    def leave_out(mask: NDArray[np.bool_], reason: AssignmentReason) -> None:
        positions[mask] = -1
        codes[mask] = _CODES[reason]

    # From the last check to the first, so that the first reason that applies is the one that stays.
    if phase.rule is not EVERYONE:
        leave_out(~_targeted(phase, attributes, len(ids)), AssignmentReason.TARGETING)
    if config.layer is not None:
        layer = config.layer
        shares = bucket_numbers(seed_state=layer.seed_state, unit_ids=ids) / BUCKETS
        leave_out(~((layer.lower <= shares) & (shares < layer.upper)), AssignmentReason.LAYER)
    if config.is_paused:
        leave_out(np.ones(len(ids), dtype=bool), AssignmentReason.PAUSED)
    index_of = {arm.id: position for position, arm in enumerate(config.arms)}
    exposed = _first_exposures(config, _owners(config, phase, ids, aliases))
    for index, unit_id in enumerate(ids) if exposed else ():
        if unit_id in exposed:
            arm, phases[index] = exposed[unit_id]
            positions[index], codes[index] = index_of[arm.id], _CODES[AssignmentReason.STICKY]
    result = Assignments(config.key, config.arms, positions, phases, numbers.astype(np.int32), codes)
    return _without_units(result, ids)


def _owners(
    config: ExperimentConfig, phase: PhaseConfig, ids: list[str], aliases: Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    """The ids whose earlier exposures matter, each with the units that have had it."""
    asked = ids if _is_sticky(config, phase) else [unit_id for unit_id in ids if aliases.get(unit_id)]
    owners: dict[str, list[str]] = {}
    for unit_id in asked:
        for alias in (unit_id, *aliases.get(unit_id, ())):
            owners.setdefault(alias, []).append(unit_id)
    return owners


def _serve_shipped_to_many(
    config: ExperimentConfig, shipped: ShipConfig, ids: list[str], attributes: Mapping[str, Sequence[Any]]
) -> Assignments:
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
    return _without_units(result, ids)


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


def _without_units(assignments: Assignments, ids: list[str]) -> Assignments:
    """Leave out the units without an id, as `assign` does first of all."""
    if "" in ids:
        import numpy as np

        empty = np.fromiter((not unit_id for unit_id in ids), dtype=bool, count=len(ids))
        assignments.positions[empty] = -1
        assignments.phases[empty] = 0
        assignments.bucket_numbers[empty] = -1
        assignments.reason_codes[empty] = _CODES[AssignmentReason.NO_UNIT]
    return assignments


def _all_out(experiment_key: str, count: int, reason: AssignmentReason) -> Assignments:
    import numpy as np

    return Assignments(
        experiment_key=experiment_key,
        arms=(),
        positions=np.full(count, -1, dtype=np.int16),
        phases=np.zeros(count, dtype=np.int32),
        bucket_numbers=np.full(count, -1, dtype=np.int32),
        reason_codes=np.full(count, _CODES[reason], dtype=np.uint8),
    )
