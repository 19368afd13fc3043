"""Exposure: the one way in which a unit's reaching the parting of the arms is stored."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import F

from experiments.choices import ExperimentStatus
from experiments.models import Arm, Experiment, Exposure
from experiments.models.exposure import FACTS_UNIT_TYPE, SOURCE_LENGTH, UNIT_ID_LENGTH
from experiments.services.dirty import mark_dirty

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BATCH = 1_000
"""Rows per statement: 8 parameters each stay below SQLite's limit of 32,766."""
_ARRAYS = ("bigint", "bigint", "text", "text", "bigint", "bigint", "text", "jsonb")
"""PostgreSQL's types of a stored row's columns."""
_PLACES = "(%s, %s, %s, %s, %s, %s, %s, %s)"
# Not the plan: it is long, and a page that records one exposure need not read it.
_EXPERIMENT_FIELDS = ("key", "status", "unit_type", "started_at", "paused_at", "stopped_at", "decided_at")
_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


@dataclass(frozen=True, slots=True)
class ExposureRow:
    """One exposure as it arrives; `at` is in microseconds since the epoch, `basis` opaque JSON.

    Without a `phase` it is the one in force at that moment.
    """

    experiment_key: str
    unit_type: str
    unit_id: str
    arm_key: str
    phase: int | None
    at: int
    source: str = ""
    basis: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rejected:
    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class RecordResult:
    """How many rows are stored (repeated ones included), and which were rejected, why."""

    accepted: int
    rejected: tuple[Rejected, ...]


@dataclass(frozen=True, slots=True)
class _Target:
    """What the rows of one experiment may refer to."""

    id: int
    status: str
    unit_type: str
    starts_at: int | None
    ends_at: int | None
    arms: dict[str, int]
    phases: dict[int, int]
    # (start in microseconds, number) of each phase that has started.
    starts: list[tuple[int, int]]

    def phase(self, row: ExposureRow) -> int | None:
        """The row's phase by its number, None if there is no such one."""
        if row.phase is not None:
            return self.phases.get(row.phase)
        begun = [start for start in self.starts if start[0] <= row.at]
        return self.phases[max(begun)[1]] if begun else None


_Key = tuple[int, int, str, str, int]


def microseconds(at: datetime) -> int:
    """The form of a time in fact tables."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def record_many(*, rows: Iterable[ExposureRow]) -> RecordResult:
    """Store exposures, the earliest time of each winning whatever order they arrive in.

    Runs in the caller's transaction, one statement per thousand rows. A row that cannot be stored is rejected with
    its reason and never stops the others: `unknown_experiment`, `unknown_arm`, `unknown_phase`, `unit_type`,
    `bad_unit`, `bad_basis`, `bad_time`, `before_start`, `not_started`, and, for a row after enrolment ended, `paused`
    or `stopped`. A late row of the time before that is still accepted.
    """
    listed = rows if isinstance(rows, Sequence) else list(rows)
    targets = _targets({row.experiment_key for row in listed})
    earliest: dict[_Key, ExposureRow] = {}
    rejected = []
    for index, row in enumerate(listed):
        target = targets.get(row.experiment_key)
        reason = "unknown_experiment" if target is None else _refusal(target, row)
        if target is None or reason is not None:
            rejected.append(Rejected(index, reason or ""))
            continue
        phase_id = target.phase(row)
        assert phase_id is not None  # or it had been refused
        key = (target.id, phase_id, row.unit_type, row.unit_id, target.arms[row.arm_key])
        if key not in earliest or row.at < earliest[key].at:
            earliest[key] = row
    # In one order everywhere: two writers that lock rows in different orders would wait for each other forever.
    ordered = sorted(earliest)
    for start in range(0, len(ordered), _BATCH):
        _upsert([(key, earliest[key]) for key in ordered[start : start + _BATCH]])
    # Under other names than the facts' a unit is marked by whoever knows which of them it is.
    mark_dirty(units=[unit_id for _, _, unit_type, unit_id, _ in ordered if unit_type == FACTS_UNIT_TYPE])
    return RecordResult(accepted=len(listed) - len(rejected), rejected=tuple(rejected))


def _refusal(target: _Target, row: ExposureRow) -> str | None:
    if target.starts_at is None:
        return "not_started"
    if row.unit_type != target.unit_type:
        return "unit_type"
    if row.arm_key not in target.arms:
        return "unknown_arm"
    if row.phase is not None and row.phase not in target.phases:
        return "unknown_phase"
    if not 0 < len(row.unit_id) <= UNIT_ID_LENGTH or not is_storable(row.unit_id):
        return "bad_unit"
    if not is_storable(row.source) or _encoded(row.basis) is None:
        return "bad_basis"
    return _refusal_of_time(target, row.at, starts_at=target.starts_at)


def _refusal_of_time(target: _Target, at: int, *, starts_at: int) -> str | None:
    if not -(2**63) <= at < 2**63:
        return "bad_time"
    if at < starts_at:
        return "before_start"
    if target.status == ExperimentStatus.RUNNING or (target.ends_at is not None and at < target.ends_at):
        return None
    return "paused" if target.status == ExperimentStatus.PAUSED else "stopped"


def is_storable(text: str) -> bool:
    """PostgreSQL takes neither NUL nor a lone surrogate, and would refuse the whole batch."""
    return "\x00" not in text and (text.isascii() or _SURROGATE.search(text) is None)


def _encoded(basis: Mapping[str, Any]) -> str | None:
    """The basis as JSON that both databases store; None if it is none."""
    if not basis:
        return "{}"
    try:
        text = json.dumps(dict(basis), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError):
        return None
    return text if is_storable(text) and _ESCAPED_NUL.search(text) is None else None


def _targets(keys: set[str]) -> dict[str, _Target]:
    """What the experiments accept now. One query, a row for each arm and phase; a page records one row at a time."""
    rows = (
        Arm.objects.filter(experiment__key__in=keys)
        .select_related("experiment")
        .only("key", *(f"experiment__{name}" for name in _EXPERIMENT_FIELDS))
        .annotate(
            phase_pk=F("experiment__phases__pk"),
            phase_number=F("experiment__phases__number"),
            phase_started_at=F("experiment__phases__started_at"),
        )
    )
    targets: dict[str, _Target] = {}
    for row in rows:
        target = targets.get(row.experiment.key)
        if target is None:
            target = targets[row.experiment.key] = _target(row.experiment)
        target.arms[row.key] = row.pk
        if row.phase_started_at is not None:
            target.phases[row.phase_number] = row.phase_pk
            target.starts.append((microseconds(row.phase_started_at), row.phase_number))
    return targets


def _target(experiment: Experiment) -> _Target:
    ended_at = experiment.enrolment_ended_at
    return _Target(
        id=experiment.pk,
        status=experiment.status,
        unit_type=experiment.unit_type,
        starts_at=None if experiment.started_at is None else microseconds(experiment.started_at),
        ends_at=None if ended_at is None else microseconds(ended_at),
        arms={},
        phases={},
        starts=[],
    )


def _upsert(batch: Sequence[tuple[_Key, ExposureRow]]) -> None:
    """One statement; source and basis stay those of the earliest row."""
    table = connection.ops.quote_name(Exposure._meta.db_table)
    columns = "experiment_id, phase_id, unit_type, unit_id, arm_id"
    rows: list[tuple[Any, ...]] = [
        (*key, row.at, row.source[:SOURCE_LENGTH], _encoded(row.basis)) for key, row in batch
    ]
    if connection.vendor == "postgresql":
        # A column is one parameter: thousands of them cost more to write down than the rows to store.
        given = f"SELECT * FROM unnest({', '.join(f'%s::{kind}[]' for kind in _ARRAYS)})"  # noqa: S608 (constants)
        parameters: list[Any] = [list(column) for column in zip(*rows, strict=True)]
    else:
        given, parameters = f"VALUES {', '.join([_PLACES] * len(rows))}", [value for row in rows for value in row]
    statement = (
        f"INSERT INTO {table} AS known ({columns}, first_at, source, basis) {given} "
        f"ON CONFLICT ({columns}) DO UPDATE SET "
        "first_at = excluded.first_at, source = excluded.source, basis = excluded.basis "
        "WHERE excluded.first_at < known.first_at"
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
