"""Explain a unit: for every experiment, in or out and why, rule by rule, with bucket, phase, arm and exposures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.conf import settings
from django.utils.module_loading import import_string

from experiments.bucketing.allocation import arm_ranges, in_range
from experiments.bucketing.hashing import BUCKETS, bucket_number
from experiments.choices import AssignmentReason, ExperimentStatus
from experiments.ports import People
from experiments.selectors.config import ExperimentConfig, PhaseConfig, PrerequisiteConfig, list_configs
from experiments.selectors.experiments import UnitExposure, list_unit_exposures
from experiments.services.assignment import Assignment, assign
from experiments.services.assignment_rules import phase_at
from experiments.targeting.explain import Line, explain
from experiments.targeting.tree import EVERYONE

NOTHING_FORCED: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True)
class HashCheck:
    """A position against the range that it must lie in, or out of."""

    name: str
    bucket: float
    lower: float
    upper: float
    is_inside: bool


@dataclass(frozen=True, slots=True)
class PrerequisiteCheck:
    """An experiment that must serve the unit one arm: what it serves, and why."""

    experiment_key: str
    name: str
    arm_key: str
    served: str | None
    reason_label: str

    @property
    def holds(self) -> bool:
        """Whether the unit is served the arm."""
        return self.served == self.arm_key


@dataclass(frozen=True, slots=True)
class PhaseCheck:
    """The phase that decides about the unit, and the coverage that its ramp has reached."""

    number: int
    started_at: datetime
    coverage: float
    step_n: int


@dataclass(frozen=True, slots=True)
class UnitExplanation:
    """One experiment seen from one unit. `is_quarantined`: it was exposed to two arms and counts in neither.

    `forced_arm` is what a signed link shows this browser instead; it is never counted.
    """

    experiment_key: str
    name: str
    status: str
    status_label: str
    assignment: Assignment
    reason_label: str
    forced_arm: str
    phase: PhaseCheck | None
    layer: HashCheck | None
    prerequisites: tuple[PrerequisiteCheck, ...]
    holdouts: tuple[HashCheck, ...]
    arms: tuple[HashCheck, ...]
    targeting: tuple[Line, ...]
    exposures: tuple[UnitExposure, ...]
    is_quarantined: bool


def explain_unit(
    *,
    unit_type: str,
    unit_id: str,
    attributes: Mapping[str, Any],
    at: datetime,
    aliases: Sequence[str] = (),
    forced: Mapping[str, str] = NOTHING_FORCED,
) -> tuple[UnitExplanation, ...]:
    """Every published experiment that randomizes this kind of unit, the live ones first.

    `attributes` are what the asking code knows; what the installation knows of the unit stands beneath them. `aliases`
    are earlier ids of the unit; `forced` the arms that links show in the asking browser.
    """
    people: People = import_string(settings.EXPERIMENTS_PEOPLE)()
    known = people.known(unit_type=unit_type, unit_id=unit_id)
    attributes, aliases = {**known.attributes, **attributes}, tuple(dict.fromkeys((*aliases, *known.aliases)))
    unit = _Unit(unit_type, unit_id, attributes, at, aliases)
    exposures: dict[str, list[UnitExposure]] = {}
    for known_id in (unit_id, *aliases):
        for exposure in list_unit_exposures(unit_type=unit_type, unit_id=known_id):
            exposures.setdefault(exposure.experiment_key, []).append(exposure)
    configs = [config for config in list_configs().values() if config.unit_type == unit_type]
    explanations = []
    for config in sorted(configs, key=lambda config: (not config.is_live, config.name, config.key)):
        seen = tuple(sorted(exposures.get(config.key, ()), key=lambda exposure: exposure.first_at))
        explanations.append(_explanation(config, unit, seen=seen, forced_arm=forced.get(config.key, "")))
    return tuple(explanations)


@dataclass(frozen=True, slots=True)
class _Unit:
    """Who is explained, with what is known of it, as of when."""

    type: str
    id: str
    attributes: Mapping[str, Any]
    at: datetime
    aliases: tuple[str, ...]

    def assign(self, experiment_key: str) -> Assignment:
        return assign(
            experiment_key=experiment_key,
            unit_type=self.type,
            unit_id=self.id,
            attributes=self.attributes,
            at=self.at,
            aliases=self.aliases,
        )


def _explanation(
    config: ExperimentConfig, unit: _Unit, *, seen: tuple[UnitExposure, ...], forced_arm: str
) -> UnitExplanation:
    assignment = unit.assign(config.key)
    regime = phase_at(config, unit.at)
    rule = EVERYONE if regime is None else regime.rule
    layer, unit_id, at = config.layer, unit.id, unit.at
    return UnitExplanation(
        experiment_key=config.key,
        name=config.name,
        status=config.status,
        status_label=str(ExperimentStatus(config.status).label),
        assignment=assignment,
        reason_label=str(AssignmentReason(assignment.reason).label),
        forced_arm=forced_arm,
        phase=None if regime is None else _phase(config, regime),
        prerequisites=tuple(_prerequisite(needed, unit) for needed in config.prerequisites),
        layer=None
        if layer is None
        else _check(layer.key, seed_state=layer.seed_state, unit_id=unit_id, lower=layer.lower, upper=layer.upper),
        holdouts=tuple(
            _check(holdout.layer_key, seed_state=holdout.seed_state, unit_id=unit_id, lower=0.0, upper=holdout.share)
            for holdout in config.holdouts
            if holdout.is_in_force(at)
        ),
        arms=() if regime is None else _arm_checks(config, regime, unit_id),
        targeting=() if rule is EVERYONE else explain(rule, unit.attributes),
        exposures=seen,
        is_quarantined=len({exposure.arm_key for exposure in seen}) > 1,
    )


def _phase(config: ExperimentConfig, regime: PhaseConfig) -> PhaseCheck:
    """A step of a ramp is a regime of its phase."""
    same = [one for one in config.phases if one.number == regime.number and one.started_at <= regime.started_at]
    return PhaseCheck(regime.number, same[0].started_at, regime.coverage, len(same) - 1)


def _prerequisite(needed: PrerequisiteConfig, unit: _Unit) -> PrerequisiteCheck:
    got, required = unit.assign(needed.key), list_configs()[needed.key]
    label = str(AssignmentReason(got.reason).label)
    return PrerequisiteCheck(needed.key, required.name, needed.arm_key, got.arm_key, label)


def _arm_checks(config: ExperimentConfig, regime: PhaseConfig, unit_id: str) -> tuple[HashCheck, ...]:
    ranges = arm_ranges(weights=regime.weights, coverage=regime.coverage)
    return tuple(
        _check(arm.key, seed_state=config.seed_state, unit_id=unit_id, lower=lower, upper=upper)
        for arm, (lower, upper) in zip(config.arms, ranges, strict=True)
    )


def _check(name: str, *, seed_state: int, unit_id: str, lower: float, upper: float) -> HashCheck:
    number = bucket_number(seed_state=seed_state, unit_id=unit_id)
    return HashCheck(name, number / BUCKETS, lower, upper, in_range(number=number, lower=lower, upper=upper))
