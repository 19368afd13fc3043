"""Certificates: the false-positive rate that an experiment would have had on the past."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Certificate(models.Model):
    """One replay of an experiment's assignment and metrics on past events, as many A/A tests."""

    experiment = models.ForeignKey("experiments.Experiment", on_delete=models.CASCADE, related_name="certificates")
    at = models.DateTimeField(_("at"))
    report = models.JSONField(_("report"))
    duration_ms = models.PositiveIntegerField(_("duration in ms"), default=0)

    class Meta:
        verbose_name = _("certificate")
        verbose_name_plural = _("certificates")
        indexes = [models.Index(fields=["experiment", "-at"], name="certificate_newest")]

    def __str__(self) -> str:
        return f"{self.experiment_id} {self.at:%Y-%m-%d %H:%M}"
