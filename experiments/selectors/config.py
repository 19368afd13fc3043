"""What assignment needs to know of every experiment, read through a cache of this process.

The cache holds one immutable snapshot of all published experiments. At most every `TTL_SECONDS` it asks the
database, with one query over the experiments' versions, whether anything changed, and reads again if so: an
emergency stop reaches every process within that time. Warm, it costs no query. If the database does not
answer, the last snapshot goes on serving. A server process keeps it in a file as well (`keep_config_in`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db import Error as DatabaseError
from django.db import connection

from experiments.bucketing.allocation import arm_table
from experiments.bucketing.hashing import fnv1a32
from experiments.choices import ExperimentStatus
from experiments.errors import UnknownExperiment
from experiments.models import Arm, Decision, Experiment, Holdout, PhaseArm, Prerequisite, RampStep
from experiments.selectors import config_file
from experiments.targeting.tree import Rule, attributes_of, decode

TTL_SECONDS = 1.5
"""How old a snapshot may be before the database is asked; an emergency stop must act within 5 seconds."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ArmConfig:
    id: int
    key: str
    is_control: bool
    payload: Any


@dataclass(frozen=True, slots=True)
class PhaseConfig:
    """A phase, or what a step of its ramp made of it: the same number and shares, more coverage, from later on."""

    id: int
    number: int
    started_at: datetime
    coverage: float
    weights: tuple[float, ...]
    rule: Rule
    # For each bucket the position of its arm in `ExperimentConfig.arms`.
    table: bytes


@dataclass(frozen=True, slots=True)
class LayerConfig:
    key: str
    seed: str
    seed_state: int
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class HoldoutConfig:
    """One version of a holdout, `layer_key` empty for the global one; in force from `starts_at`, before `ends_at`."""

    layer_key: str
    unit_type: str
    number: int
    share: float
    seed: str
    seed_state: int
    starts_at: datetime
    ends_at: datetime | None

    def is_in_force(self, at: datetime) -> bool:
        return self.starts_at <= at and (self.ends_at is None or at < self.ends_at)


@dataclass(frozen=True, slots=True)
class PrerequisiteConfig:
    """The experiment that must serve a unit this arm."""

    key: str
    arm_key: str


@dataclass(frozen=True, slots=True)
class ShipConfig:
    arm: ArmConfig
    holdback: float
    seed_state: int


@dataclass(frozen=True, slots=True)
class ExperimentConfig:
    """One published experiment; `shipped` is set while a decision to ship stands, `is_live` while units are assigned
    by their bucket, `is_paused` while only those exposed before are."""

    id: int
    key: str
    name: str
    status: str
    is_live: bool
    is_paused: bool
    unit_type: str
    seed: str
    seed_state: int
    started_at: datetime
    layer: LayerConfig | None
    prerequisites: tuple[PrerequisiteConfig, ...]
    arms: tuple[ArmConfig, ...]
    # In the order in which they came into force, the steps of a ramp after their phase.
    phases: tuple[PhaseConfig, ...]
    # The versions that concern it: the global ones and its layer's.
    holdouts: tuple[HoldoutConfig, ...]
    shipped: ShipConfig | None
    # What the rules read, those of required experiments included.
    reads: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Snapshot:
    version: tuple[int, ...]
    configs: Mapping[str, ExperimentConfig]
    holdouts: tuple[HoldoutConfig, ...]
    drafts: frozenset[str]
    checked_at: float


class _Cache:
    """One per process. Readers take the reference to an immutable snapshot; a lock lets one of them refresh."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._snapshot: _Snapshot | None = None
        self.file: Path | None = None

    def clear(self) -> None:
        self._snapshot = None

    def current(self) -> _Snapshot:
        snapshot = self._snapshot
        if snapshot is not None and _is_fresh(snapshot):
            return snapshot
        # While one thread refreshes, the others go on with what there is; only the very first must wait.
        if not self._lock.acquire(blocking=snapshot is None):
            assert snapshot is not None
            return snapshot
        try:
            known = self._snapshot
            if known is None or not _is_fresh(known):
                self._snapshot = known = self._refreshed(known)
            return known
        finally:
            self._lock.release()

    def _refreshed(self, snapshot: _Snapshot | None) -> _Snapshot:
        now = time.monotonic()
        try:
            version = _version()
            if snapshot is not None and snapshot.version == version:
                return replace(snapshot, checked_at=now)
            holdouts = _holdouts()
            made = _Snapshot(version, _load(holdouts), holdouts, _drafts(), now)
            if self.file is not None:
                config_file.save(self.file, made)
            return made
        except DatabaseError:
            if snapshot is None and self.file is not None:
                snapshot = config_file.load(self.file, _Snapshot)
            if snapshot is None:
                raise
            logger.warning("experiments.config: the database did not answer, serving the last known state")
            return replace(snapshot, checked_at=now)


def _is_fresh(snapshot: _Snapshot) -> bool:
    return time.monotonic() - snapshot.checked_at < TTL_SECONDS


_cache = _Cache()


def keep_config_in(file: Path) -> None:
    """From now on keep what this process knows in a file too, and start from it while the database is down."""
    _cache.file = file


def clear_config_cache() -> None:
    """Forget what this process knows; the next reader asks the database."""
    _cache.clear()


def get_config(*, experiment_key: str) -> ExperimentConfig | None:
    """The configuration of an experiment; None for a draft. Raises `UnknownExperiment`."""
    snapshot = _cache.current()
    config = snapshot.configs.get(experiment_key)
    if config is None and experiment_key not in snapshot.drafts:
        raise UnknownExperiment(experiment_key)
    return config


def list_configs() -> Mapping[str, ExperimentConfig]:
    """Every published experiment, by key."""
    return _cache.current().configs


def list_holdouts() -> tuple[HoldoutConfig, ...]:
    """Every version of every holdout, oldest first."""
    return _cache.current().holdouts


def _version() -> tuple[int, ...]:
    """Numbers that differ after every change, in one query.

    Every change increments its row's version, and a holdout is opened and closed once: sums and counts tell a change
    whatever order transactions commit in, which the highest id alone would not.
    """
    experiments, holdouts = Experiment._meta.db_table, Holdout._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT COUNT(*), COALESCE(MAX(id), 0), COALESCE(SUM(version), 0), "  # noqa: S608 (constants)
            f"(SELECT COUNT(*) FROM {holdouts}), (SELECT COUNT(ends_at) FROM {holdouts}) FROM {experiments}"
        )
        return tuple(int(number) for number in cursor.fetchone())


def _holdouts() -> tuple[HoldoutConfig, ...]:
    return tuple(
        HoldoutConfig(
            layer_key="" if row.layer is None else row.layer.key,
            unit_type=row.unit_type,
            number=row.number,
            share=row.share,
            seed=row.seed,
            seed_state=fnv1a32(row.seed),
            starts_at=row.starts_at,
            ends_at=row.ends_at,
        )
        for row in Holdout.objects.select_related("layer").order_by("starts_at", "pk")
    )


def _drafts() -> frozenset[str]:
    return frozenset(Experiment.objects.filter(started_at=None).values_list("key", flat=True))


def _load(holdouts: tuple[HoldoutConfig, ...]) -> dict[str, ExperimentConfig]:
    weights: dict[int, dict[int, list[PhaseArm]]] = {}
    rows = PhaseArm.objects.filter(
        phase__experiment__in=Experiment.objects.published(), phase__started_at__isnull=False
    )
    for row in rows.select_related("phase", "arm").order_by("phase__number", "arm__position"):
        weights.setdefault(row.phase.experiment_id, {}).setdefault(row.phase_id, []).append(row)
    parts = _Parts(
        phases=weights,
        steps=_steps(),
        prerequisites=_prerequisites(),
        decisions={
            decision.experiment_id: decision
            for decision in Decision.objects.standing().filter(outcome="ship").select_related("arm")
        },
        holdouts=holdouts,
    )
    configs = {}
    for experiment in Experiment.objects.published().select_related("layer"):
        try:
            configs[experiment.key] = _config(experiment, parts)
        except ValueError:
            # One row that somebody broke by hand must not take every other experiment down.
            logger.exception("experiments.config: experiment %s cannot be read", experiment.pk)
    return {key: replace(config, reads=_reads(config, configs)) for key, config in configs.items()}


def _reads(config: ExperimentConfig, configs: Mapping[str, ExperimentConfig]) -> frozenset[str]:
    needed = (configs[item.key] for item in config.prerequisites if item.key in configs)
    return config.reads.union(*(_reads(one, configs) for one in needed))


@dataclass(frozen=True, slots=True)
class _Parts:
    """What belongs to the experiments, by experiment; the applied steps of ramps by phase."""

    phases: Mapping[int, Mapping[int, list[PhaseArm]]]
    steps: Mapping[int, list[RampStep]]
    prerequisites: Mapping[int, list[PrerequisiteConfig]]
    decisions: Mapping[int, Decision]
    holdouts: tuple[HoldoutConfig, ...]


def _steps() -> dict[int, list[RampStep]]:
    steps: dict[int, list[RampStep]] = {}
    for step in RampStep.objects.filter(applied_at__isnull=False).order_by("applied_at", "coverage"):
        steps.setdefault(step.phase_id, []).append(step)
    return steps


def _prerequisites() -> dict[int, list[PrerequisiteConfig]]:
    found: dict[int, list[PrerequisiteConfig]] = {}
    for row in Prerequisite.objects.select_related("required").order_by("pk"):
        found.setdefault(row.experiment_id, []).append(PrerequisiteConfig(row.required.key, row.arm_key))
    return found


def _config(experiment: Experiment, parts: _Parts) -> ExperimentConfig:
    assert experiment.started_at is not None
    phases, decision = parts.phases.get(experiment.pk, {}), parts.decisions.get(experiment.pk)
    arms: dict[int, ArmConfig] = {}
    for rows in phases.values():
        for row in rows:
            arms.setdefault(row.arm_id, _arm(row.arm))
    regimes = tuple(
        regime for rows in phases.values() for regime in _regimes(rows, parts.steps.get(rows[0].phase_id, ()))
    )
    return ExperimentConfig(
        id=experiment.pk,
        key=experiment.key,
        name=experiment.name,
        status=experiment.status,
        is_live=experiment.status in (ExperimentStatus.RUNNING, ExperimentStatus.PAUSED),
        is_paused=experiment.status == ExperimentStatus.PAUSED,
        unit_type=experiment.unit_type,
        seed=experiment.seed,
        seed_state=fnv1a32(experiment.seed),
        started_at=experiment.started_at,
        layer=_layer(experiment),
        prerequisites=tuple(parts.prerequisites.get(experiment.pk, ())),
        arms=tuple(arms.values()),
        phases=regimes,
        holdouts=tuple(
            holdout
            for holdout in parts.holdouts
            if holdout.unit_type == experiment.unit_type
            and holdout.layer_key in ("", "" if experiment.layer is None else experiment.layer.key)
        ),
        shipped=None if decision is None or decision.arm is None else _ship(experiment, decision, decision.arm),
        reads=frozenset(name for regime in regimes for name in attributes_of(regime.rule)),
    )


def _arm(arm: Arm) -> ArmConfig:
    return ArmConfig(id=arm.pk, key=arm.key, is_control=arm.is_control, payload=arm.payload)


def _regimes(rows: list[PhaseArm], steps: Sequence[RampStep]) -> Iterator[PhaseConfig]:
    phase = rows[0].phase
    assert phase.started_at is not None
    weights, rule = tuple(row.weight for row in rows), decode(phase.targeting)
    applied = ((step.applied_at, step.coverage) for step in steps if step.applied_at is not None)
    for started_at, coverage in ((phase.started_at, phase.coverage), *applied):
        yield PhaseConfig(
            id=phase.pk,
            number=phase.number,
            started_at=started_at,
            coverage=coverage,
            weights=weights,
            rule=rule,
            table=arm_table(weights=weights, coverage=coverage),
        )


def _layer(experiment: Experiment) -> LayerConfig | None:
    layer = experiment.layer
    if layer is None:
        return None
    return LayerConfig(
        key=layer.key,
        seed=layer.seed,
        seed_state=fnv1a32(layer.seed),
        lower=experiment.layer_lower,
        upper=experiment.layer_upper,
    )


def _ship(experiment: Experiment, decision: Decision, arm: Arm) -> ShipConfig:
    # A salt of its own: the holdback must not be a slice of one arm.
    return ShipConfig(arm=_arm(arm), holdback=decision.holdback, seed_state=fnv1a32(f"{experiment.seed}:holdback"))
