"""Decisions: what a person concluded from an experiment, and why."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from experiments.choices import DecisionOutcome, ExperimentStatus
from experiments.models.experiment import Arm, Experiment
from experiments.querysets import DecisionQuerySet


class Decision(models.Model):
    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="decisions")
    outcome = models.CharField(_("outcome"), max_length=16, choices=DecisionOutcome.choices)
    arm = models.ForeignKey(
        Arm, on_delete=models.RESTRICT, related_name="+", null=True, blank=True, verbose_name=_("shipped arm")
    )
    holdback = models.FloatField(_("share held back from the shipped arm"), default=0.0)
    reason = models.TextField(_("reason"))
    # Where a revert leads back to.
    status_before = models.CharField(_("status before"), max_length=16, choices=ExperimentStatus.choices)
    at = models.DateTimeField(_("decided at"))
    # Results of the experiment are those known at this time.
    frozen_at = models.DateTimeField(_("results frozen at"), null=True, blank=True)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        related_name="+",
        null=True,
        blank=True,
        verbose_name=_("decided by"),
    )
    reverted_at = models.DateTimeField(_("reverted at"), null=True, blank=True)
    reverted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        related_name="+",
        null=True,
        blank=True,
        verbose_name=_("reverted by"),
    )

    objects = DecisionQuerySet.as_manager()

    class Meta:
        verbose_name = _("decision")
        verbose_name_plural = _("decisions")
        constraints = [
            models.UniqueConstraint(
                name="decision_one_standing",
                fields=["experiment"],
                condition=Q(reverted_at=None) & ~Q(outcome="continue"),
            ),
            models.CheckConstraint(
                name="decision_ship_names_arm",
                condition=Q(outcome="ship", arm__isnull=False) | (~Q(outcome="ship") & Q(arm__isnull=True)),
            ),
            models.CheckConstraint(name="decision_holdback_range", condition=Q(holdback__gte=0.0, holdback__lt=1.0)),
        ]

    def __str__(self) -> str:
        return f"{self.experiment_id}: {self.outcome}"
