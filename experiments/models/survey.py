"""What a metric says about the people who are here: computed by the worker, shown on the metric's page."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class MetricSurvey(models.Model):
    """The last survey of one version of a metric, and whether another one was asked for."""

    metric = models.OneToOneField("experiments.Metric", on_delete=models.CASCADE, related_name="survey")
    asked_at = models.DateTimeField(_("asked for at"))
    done_at = models.DateTimeField(_("done at"), null=True, blank=True)
    report = models.JSONField(_("report"), null=True, blank=True)
    error = models.TextField(_("error"), blank=True)

    class Meta:
        verbose_name = _("survey of a metric")
        verbose_name_plural = _("surveys of metrics")

    def __str__(self) -> str:
        return f"{self.metric_id}"
