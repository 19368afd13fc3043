"""What trainings produced."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from recommender.choices import PUBLISHABLE, ModelStatus
from recommender.models.strategy import Strategy, StrategyVersion


class ModelVersion(models.Model):
    """One training run and its file. Only the status and its times change after the training has ended."""

    strategy = models.ForeignKey(Strategy, verbose_name=_("strategy"), on_delete=models.CASCADE, related_name="models")
    strategy_version = models.ForeignKey(
        StrategyVersion, verbose_name=_("strategy version"), on_delete=models.CASCADE, related_name="models"
    )
    status = models.CharField(_("status"), max_length=12, choices=ModelStatus.choices, default=ModelStatus.TRAINING)
    message = models.TextField(_("message"), blank=True)
    since = models.BigIntegerField(_("data from (µs)"), null=True)
    until = models.BigIntegerField(_("data until (µs)"))
    n_interactions = models.BigIntegerField(_("interactions"), default=0)
    n_users = models.BigIntegerField(_("people"), default=0)
    n_items = models.BigIntegerField(_("items"), default=0)
    fingerprint = models.CharField(_("data fingerprint"), max_length=64, blank=True)
    parameters = models.JSONField(_("parameters"), default=dict)
    arms = models.JSONField(_("experiments in the data"), default=dict)
    seed = models.BigIntegerField(_("seed"), default=0)
    metrics = models.JSONField(_("metrics"), default=dict)
    sha256 = models.CharField(_("SHA-256 of the file"), max_length=64, blank=True)
    path = models.CharField(_("file"), max_length=300, blank=True)
    started_at = models.DateTimeField(_("started at"))
    trained_at = models.DateTimeField(_("trained at"), null=True)
    duration_ms = models.BigIntegerField(_("duration in ms"), null=True)
    published_at = models.DateTimeField(_("published at"), null=True)
    retired_at = models.DateTimeField(_("retired at"), null=True)
    unreadable_since = models.DateTimeField(_("unreadable since"), null=True)
    report = models.JSONField(_("evaluation report"), default=dict)

    class Meta:
        verbose_name = _("model version")
        verbose_name_plural = _("model versions")
        indexes = [models.Index(fields=["strategy", "-started_at"], name="model_by_strategy")]
        constraints = [
            models.UniqueConstraint(
                fields=["strategy_version"], condition=Q(status="published"), name="one_published_model_per_version"
            ),
            models.CheckConstraint(
                condition=~Q(status__in=["ready", "published", "retired", "rejected"])
                | (~Q(sha256="") & ~Q(path="") & Q(trained_at__isnull=False)),
                name="trained_model_has_a_file",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.strategy_id}/{self.pk}"

    @property
    def is_publishable(self) -> bool:
        """Whether `publish_model` would take it."""
        return self.status in PUBLISHABLE
