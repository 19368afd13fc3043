"""Explain a unit: for every experiment, in or out and why, rule by rule, with bucket, phase, arm and exposures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from experiments.bucketing.allocation import arm_ranges, in_range
from experiments.bucketing.hashing import BUCKETS, bucket_number
from experiments.choices import AssignmentReason, ExperimentStatus
from experiments.selectors.config import ExperimentConfig, list_configs
from experiments.selectors.experiments import UnitExposure, list_unit_exposures
from experiments.services.assignment import Assignment, assign
from experiments.targeting.explain import Line, explain
from experiments.targeting.tree import EVERYONE


@dataclass(frozen=True, slots=True)
class HashCheck:
    """A position against the range that it must lie in, or out of."""

    name: str
    bucket: float
    lower: float
    upper: float
    is_inside: bool


@dataclass(frozen=True, slots=True)
class UnitExplanation:
    """One experiment seen from one unit. `is_quarantined`: it was exposed to two arms and counts in neither."""

    experiment_key: str
    name: str
    status: str
    status_label: str
    assignment: Assignment
    reason_label: str
    layer: HashCheck | None
    holdouts: tuple[HashCheck, ...]
    arms: tuple[HashCheck, ...]
    targeting: tuple[Line, ...]
    exposures: tuple[UnitExposure, ...]
    is_quarantined: bool


def explain_unit(
    *, unit_type: str, unit_id: str, attributes: Mapping[str, Any], at: datetime, aliases: Sequence[str] = ()
) -> tuple[UnitExplanation, ...]:
    """Every published experiment that randomizes this kind of unit, the live ones first."""
    exposures: dict[str, list[UnitExposure]] = {}
    for known_id in (unit_id, *aliases):
        for exposure in list_unit_exposures(unit_type=unit_type, unit_id=known_id):
            exposures.setdefault(exposure.experiment_key, []).append(exposure)
    configs = [config for config in list_configs().values() if config.unit_type == unit_type]
    explanations = []
    for config in sorted(configs, key=lambda config: (not config.is_live, config.name, config.key)):
        assignment = assign(
            experiment_key=config.key,
            unit_type=unit_type,
            unit_id=unit_id,
            attributes=attributes,
            at=at,
            aliases=aliases,
        )
        seen = tuple(sorted(exposures.get(config.key, ()), key=lambda exposure: exposure.first_at))
        explanations.append(_explanation(config, assignment, unit_id=unit_id, attributes=attributes, at=at, seen=seen))
    return tuple(explanations)


def _explanation(
    config: ExperimentConfig,
    assignment: Assignment,
    *,
    unit_id: str,
    attributes: Mapping[str, Any],
    at: datetime,
    seen: tuple[UnitExposure, ...],
) -> UnitExplanation:
    rule = config.phases[-1].rule if config.phases else EVERYONE
    layer = config.layer
    return UnitExplanation(
        experiment_key=config.key,
        name=config.name,
        status=config.status,
        status_label=str(ExperimentStatus(config.status).label),
        assignment=assignment,
        reason_label=str(AssignmentReason(assignment.reason).label),
        layer=None
        if layer is None
        else _check(layer.key, seed_state=layer.seed_state, unit_id=unit_id, lower=layer.lower, upper=layer.upper),
        holdouts=tuple(
            _check(holdout.layer_key, seed_state=holdout.seed_state, unit_id=unit_id, lower=0.0, upper=holdout.share)
            for holdout in config.holdouts
            if holdout.is_in_force(at)
        ),
        arms=_arm_checks(config, unit_id),
        targeting=() if rule is EVERYONE else explain(rule, attributes),
        exposures=seen,
        is_quarantined=len({exposure.arm_key for exposure in seen}) > 1,
    )


def _arm_checks(config: ExperimentConfig, unit_id: str) -> tuple[HashCheck, ...]:
    if not config.phases:
        return ()
    phase = config.phases[-1]
    ranges = arm_ranges(weights=phase.weights, coverage=phase.coverage)
    return tuple(
        _check(arm.key, seed_state=config.seed_state, unit_id=unit_id, lower=lower, upper=upper)
        for arm, (lower, upper) in zip(config.arms, ranges, strict=True)
    )


def _check(name: str, *, seed_state: int, unit_id: str, lower: float, upper: float) -> HashCheck:
    number = bucket_number(seed_state=seed_state, unit_id=unit_id)
    return HashCheck(name, number / BUCKETS, lower, upper, in_range(number=number, lower=lower, upper=upper))
