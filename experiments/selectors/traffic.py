"""The traffic of an experiment as its page shows it: phases, weights, rule."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from experiments.models import Experiment, Phase
from experiments.selectors.ramp import coverage_in_force
from experiments.targeting.tree import decode, to_json


@dataclass(frozen=True, slots=True)
class Share:
    """One arm and its part of the covered traffic."""

    key: str
    name: str
    weight: float


@dataclass(frozen=True, slots=True)
class PhaseRow:
    """One phase; `coverage` is what its steps have reached."""

    number: int
    started_at: datetime | None
    ended_at: datetime | None
    coverage: float
    shares: tuple[Share, ...]
    targeting: dict[str, Any]

    @property
    def targeting_text(self) -> str:
        """The rule as people type it."""
        return json.dumps(self.targeting, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Required:
    """An experiment that must serve a unit this arm."""

    key: str
    name: str
    arm_key: str


def list_phases(*, experiment: Experiment) -> list[PhaseRow]:
    """The phases of an experiment, newest first."""
    phases = experiment.phases.prefetch_related("phase_arms__arm").order_by("-number")
    return [_row(phase) for phase in phases]


def list_requirements(*, experiment: Experiment) -> list[Required]:
    """The experiments that this one requires."""
    rows = experiment.prerequisites.select_related("required").order_by("pk")
    return [Required(row.required.key, row.required.name, row.arm_key) for row in rows]


def _row(phase: Phase) -> PhaseRow:
    rows = sorted(phase.phase_arms.all(), key=lambda row: row.arm.position)
    return PhaseRow(
        number=phase.number,
        started_at=phase.started_at,
        ended_at=phase.ended_at,
        coverage=coverage_in_force(phase=phase),
        shares=tuple(Share(row.arm.key, row.arm.name, row.weight) for row in rows),
        targeting=to_json(decode(phase.targeting)) if phase.targeting else {},
    )
