"""The ramp of a phase: the steps in which its coverage rises."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from experiments.models.experiment import Phase


class RampStep(models.Model):
    """One step: after this much of the phase, this coverage.

    The phase itself never changes. Raising its coverage moves nobody and leaves the shares of the arms as they are, so
    that a step needs no phase of its own; an applied step never changes either (a trigger), so that the coverage of
    any past moment can be told.
    """

    phase = models.ForeignKey(Phase, on_delete=models.CASCADE, related_name="ramp")
    after = models.DurationField(_("after"))
    coverage = models.FloatField(_("coverage"))
    applied_at = models.DateTimeField(_("applied at"), null=True, blank=True)

    class Meta:
        verbose_name = _("step of a ramp")
        verbose_name_plural = _("steps of ramps")
        constraints = [
            models.UniqueConstraint(name="ramp_step_after_unique", fields=["phase", "after"]),
            models.UniqueConstraint(name="ramp_step_coverage_unique", fields=["phase", "coverage"]),
            models.CheckConstraint(name="ramp_step_coverage_range", condition=Q(coverage__gt=0.0, coverage__lte=1.0)),
        ]

    def __str__(self) -> str:
        return f"{self.phase_id}: {self.after} → {self.coverage}"
