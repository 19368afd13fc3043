"""Prerequisites: experiments whose arm a unit must be served before it can take part in another."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from experiments.models.experiment import Experiment


class Prerequisite(models.Model):
    """`experiment` takes in only units that `required` serves `arm_key`.

    The arm by its key, because revising a draft makes its arms anew.
    """

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="prerequisites")
    required = models.ForeignKey(Experiment, on_delete=models.RESTRICT, related_name="required_by")
    arm_key = models.SlugField(_("arm"), max_length=64)

    class Meta:
        verbose_name = _("prerequisite")
        verbose_name_plural = _("prerequisites")
        constraints = [
            models.UniqueConstraint(name="prerequisite_unique", fields=["experiment", "required"]),
            models.CheckConstraint(
                name="prerequisite_not_itself", condition=~models.Q(experiment=models.F("required"))
            ),
        ]

    def __str__(self) -> str:
        return f"{self.experiment_id}: {self.required_id}/{self.arm_key}"
