"""What one run of the analysis works with: the plan, the facts, and the looks that were stored before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from experiments.facts.expressions import PlannedMetric
from experiments.models import Arm, Experiment, ExperimentMetric
from experiments.services.analysis_plan import AnalysisPlan
from experiments.services.looks import LookValues
from experiments.services.totals import UnitTotals
from experiments.services.verdict import Frame


@dataclass(frozen=True, slots=True)
class Run:
    """Everything one run works with."""

    experiment: Experiment
    plan: AnalysisPlan
    arms: tuple[Arm, ...]
    control: int
    weights: dict[tuple[int, str], float]
    phases: tuple[int, ...]
    uses: tuple[ExperimentMetric, ...]
    metrics: tuple[PlannedMetric, ...]
    totals: UnitTotals
    days: list[date]
    day_ends: list[int]
    until: int
    stored: dict[tuple[str, str], list[LookValues]]

    @property
    def shape(self) -> tuple[int, int]:
        """How many phases and arms there are."""
        return len(self.phases), len(self.arms)

    @property
    def treatments(self) -> tuple[int, ...]:
        """The positions of the arms that are compared with control."""
        return tuple(index for index in range(len(self.arms)) if index != self.control)

    @property
    def primary(self) -> int | None:
        """The position of the metric that decides."""
        roles = [use.role for use in self.uses]
        return roles.index("primary") if "primary" in roles else None

    @property
    def frame(self) -> Frame:
        """What is the same for every metric and arm of the verdict."""
        return Frame(
            alpha=self.experiment.alpha,
            mde=self.experiment.mde,
            scale=self.plan.scale,
            rules=self.plan.rules,
            is_single_look=self.plan.is_single_look,
        )

    def planned_units(self, arm: int) -> float | None:
        """N* of a pair: its share of the planned size by the first phase's weights, frozen like these."""
        if not self.experiment.planned_size:
            return None
        first = self.phases[0]
        pair = sum(self.weights[(first, self.arms[index].key)] for index in (self.control, arm))
        total = sum(weight for (phase, _), weight in self.weights.items() if phase == first)
        return max(1.0, self.experiment.planned_size * pair / total)
