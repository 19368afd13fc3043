"""Frozen units: what an erased person contributed to results that were planned before, without the person."""

from __future__ import annotations

import secrets

from django.db import models
from django.utils.translation import gettext_lazy as _


def new_token() -> str:
    """A random name; no key leads from it to a person."""
    return secrets.token_hex(16)


class FrozenUnit(models.Model):
    """One erased unit of one experiment: arms, phase, a coarse time, and its number for each planned metric.

    `totals` maps `metric key/version` to [total, before] as of the erasure, integers as the facts gave them. `first_at`
    is moved as far as no stored result changes, and shared by five or more where one can (`services.freezing`).
    """

    experiment = models.ForeignKey("experiments.Experiment", on_delete=models.CASCADE, related_name="frozen_units")
    token = models.CharField(_("token"), max_length=32, unique=True, default=new_token, editable=False)
    phase = models.ForeignKey("experiments.Phase", on_delete=models.RESTRICT, related_name="+", db_index=False)
    arms = models.JSONField(_("arms"), help_text=_("Keys; with more than one the unit is left out and counted."))
    first_at = models.BigIntegerField(_("first at, coarse (µs since the epoch)"))
    totals = models.JSONField(_("totals"), default=dict)

    class Meta:
        verbose_name = _("frozen unit")
        verbose_name_plural = _("frozen units")

    def __str__(self) -> str:
        return self.token
