"""The incremental state of the facts: which units changed, and up to where an experiment's totals are known.

The totals themselves, one row for each unit and metric of an experiment, lie in a file beside the database
(`services.state`); what is here says which file is the right one and which of its rows are stale.
"""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from experiments.models.exposure import UNIT_ID_LENGTH


class DirtyUnit(models.Model):
    """A unit with news: written in the transaction of the news, and given to every state at the next refresh."""

    unit = models.CharField(_("unit"), max_length=UNIT_ID_LENGTH)
    claim = models.CharField(_("claim"), max_length=32, blank=True, default="")

    class Meta:
        verbose_name = _("dirty unit")
        verbose_name_plural = _("dirty units")

    def __str__(self) -> str:
        return self.unit


class FactsState(models.Model):
    """Up to where the totals of one experiment are known. Without a token there are none yet."""

    experiment = models.OneToOneField("experiments.Experiment", on_delete=models.CASCADE, related_name="facts_state")
    signature = models.CharField(_("signature of plan and metrics"), max_length=64, blank=True)
    token = models.CharField(_("name of the file"), max_length=32, blank=True)
    until = models.BigIntegerField(_("until (µs since the epoch)"), default=0)
    units_n = models.PositiveBigIntegerField(_("units"), default=0)
    recomputed_n = models.PositiveBigIntegerField(_("units computed anew the last time"), default=0)

    class Meta:
        verbose_name = _("state of the facts")
        verbose_name_plural = _("states of the facts")

    def __str__(self) -> str:
        return f"{self.experiment_id}"


class StaleUnit(models.Model):
    """A unit whose totals in one state have to be computed anew; repetitions do no harm."""

    state = models.ForeignKey(FactsState, on_delete=models.CASCADE, related_name="stale_units")
    unit = models.CharField(_("unit"), max_length=UNIT_ID_LENGTH)

    class Meta:
        verbose_name = _("stale unit")
        verbose_name_plural = _("stale units")

    def __str__(self) -> str:
        return self.unit
