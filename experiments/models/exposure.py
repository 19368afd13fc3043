"""Exposures: when a unit first reached the point where the arms part."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from experiments.models.experiment import Arm, Experiment, Phase
from experiments.querysets import ExposureQuerySet

UNIT_ID_LENGTH = 200
SOURCE_LENGTH = 64
FACTS_UNIT_TYPE = "profile"
"""The unit type whose ids are the units of the facts; others lead to one of these."""


class Exposure(models.Model):
    """Written by `services.exposure.record_many` only: an upsert that keeps the earliest time."""

    # PROTECT: deleting an experiment by accident must not take millions of facts with it.
    experiment = models.ForeignKey(Experiment, on_delete=models.PROTECT, related_name="exposures", db_index=False)
    phase = models.ForeignKey(Phase, on_delete=models.PROTECT, related_name="+", db_index=False)
    arm = models.ForeignKey(Arm, on_delete=models.PROTECT, related_name="+", db_index=False)
    unit_type = models.CharField(_("unit type"), max_length=32)
    unit_id = models.CharField(_("unit id"), max_length=UNIT_ID_LENGTH)
    first_at = models.BigIntegerField(_("first at (µs since the epoch)"))
    source = models.CharField(_("source"), max_length=SOURCE_LENGTH, blank=True)
    basis = models.JSONField(_("basis"), default=dict, blank=True)

    objects = ExposureQuerySet.as_manager()

    class Meta:
        verbose_name = _("exposure")
        verbose_name_plural = _("exposures")
        constraints = [
            models.UniqueConstraint(
                name="exposure_unique", fields=["experiment", "phase", "unit_type", "unit_id", "arm"]
            ),
        ]
        indexes = [
            models.Index(name="exposure_experiment_at", fields=["experiment", "first_at"]),
            models.Index(name="exposure_unit", fields=["unit_type", "unit_id"]),
        ]

    def __str__(self) -> str:
        return f"{self.experiment_id}: {self.unit_type} {self.unit_id}"
