"""The holdout ledger: what everything together caused, quarter by quarter."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class LedgerQuarter(models.Model):
    """One quarter of one metric, everybody against the global holdout. Recomputed until the quarter is over."""

    unit_type = models.CharField(_("unit type"), max_length=32)
    metric = models.ForeignKey("experiments.Metric", on_delete=models.PROTECT, related_name="+")
    starts_on = models.DateField(_("quarter from"))
    at = models.DateTimeField(_("computed at"))
    is_closed = models.BooleanField(_("the quarter is over"), default=False)
    report = models.JSONField(_("report"))

    class Meta:
        verbose_name = _("quarter of the holdout ledger")
        verbose_name_plural = _("quarters of the holdout ledger")
        constraints = [
            models.UniqueConstraint(fields=["unit_type", "metric", "starts_on"], name="ledger_quarter_once"),
        ]

    def __str__(self) -> str:
        return f"{self.starts_on}: {self.metric_id}"
