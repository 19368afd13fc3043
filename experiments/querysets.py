"""Filters of the record, named after what a caller asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models

from experiments.choices import ExperimentStatus

if TYPE_CHECKING:
    from experiments.models import Decision, Experiment, Exposure, Holdout, Phase  # noqa: F401 (named in strings below)


class ExperimentQuerySet(models.QuerySet["Experiment"]):
    def live(self) -> ExperimentQuerySet:
        """Running or paused: the traffic space of their layer is taken."""
        return self.filter(status__in=[ExperimentStatus.RUNNING, ExperimentStatus.PAUSED])

    def running(self) -> ExperimentQuerySet:
        return self.filter(status=ExperimentStatus.RUNNING)

    def published(self) -> ExperimentQuerySet:
        """Everything that has ever been started; a draft is not served."""
        return self.exclude(status=ExperimentStatus.DRAFT).exclude(started_at=None)

    def demo(self) -> ExperimentQuerySet:
        return self.filter(is_demo=True)


class PhaseQuerySet(models.QuerySet["Phase"]):
    def current(self) -> PhaseQuerySet:
        """The one phase of each experiment that has not been replaced."""
        return self.filter(ended_at=None)


class ExposureQuerySet(models.QuerySet["Exposure"]):
    def of_unit(self, *, unit_type: str, unit_id: str) -> ExposureQuerySet:
        return self.filter(unit_type=unit_type, unit_id=unit_id)


class DecisionQuerySet(models.QuerySet["Decision"]):
    def standing(self) -> DecisionQuerySet:
        """Decisions in force: not reverted, and not a mere note to continue."""
        return self.filter(reverted_at=None).exclude(outcome="continue")


class HoldoutQuerySet(models.QuerySet["Holdout"]):
    def of(self, *, layer_id: int | None, unit_type: str) -> HoldoutQuerySet:
        """The versions of one holdout; without a layer the global one."""
        return self.filter(layer=layer_id, unit_type=unit_type)

    def open(self) -> HoldoutQuerySet:
        return self.filter(ends_at=None)
