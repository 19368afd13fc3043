"""Holdouts: people kept out of everything, so that all campaigns together can be measured."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from experiments.models.experiment import new_seed
from experiments.models.layer import Layer
from experiments.querysets import HoldoutQuerySet


class Holdout(models.Model):
    """One version: a share of the units, by a salt of its own, from a time to a time.

    Without a layer it is global. A version never changes (a trigger); closing it and opening the next is the only
    way, so that the people held out on any past day can be told.
    """

    layer = models.ForeignKey(
        Layer, on_delete=models.PROTECT, related_name="holdouts", null=True, blank=True, verbose_name=_("layer")
    )
    unit_type = models.CharField(_("unit type"), max_length=32)
    number = models.PositiveIntegerField(_("version"))
    share = models.FloatField(_("share"))
    seed = models.CharField(_("seed"), max_length=64, default=new_seed, editable=False)
    starts_at = models.DateTimeField(_("from"))
    ends_at = models.DateTimeField(_("to"), null=True, blank=True)

    objects = HoldoutQuerySet.as_manager()

    class Meta:
        verbose_name = _("holdout")
        verbose_name_plural = _("holdouts")
        constraints = [
            models.UniqueConstraint(name="holdout_number_in_layer", fields=["layer", "unit_type", "number"]),
            models.UniqueConstraint(
                name="holdout_number_global", fields=["unit_type", "number"], condition=Q(layer=None)
            ),
            models.UniqueConstraint(
                name="holdout_one_open_in_layer",
                fields=["layer", "unit_type"],
                condition=Q(ends_at=None, layer__isnull=False),
            ),
            models.UniqueConstraint(
                name="holdout_one_open_global", fields=["unit_type"], condition=Q(ends_at=None, layer=None)
            ),
            models.CheckConstraint(name="holdout_share_range", condition=Q(share__gte=0.0, share__lt=1.0)),
            models.CheckConstraint(
                name="holdout_ends_after_start", condition=Q(ends_at=None) | Q(ends_at__gte=F("starts_at"))
            ),
        ]

    def __str__(self) -> str:
        return f"{self.layer_id or 'global'}/{self.unit_type}/{self.number}"
