"""What was shown, and what is ready to be shown."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from recommender.models.strategy import StrategyVersion
from recommender.models.training import ModelVersion


class SlateContent(models.Model):
    """One answer of `recommend`, as it was given."""

    recommendation_id = models.UUIDField(_("recommendation id"), unique=True)
    user_id = models.CharField(_("user id"), max_length=200)
    strategy_version = models.ForeignKey(
        StrategyVersion, verbose_name=_("strategy version"), on_delete=models.CASCADE, related_name="%(class)ss"
    )
    model_version = models.ForeignKey(
        ModelVersion, verbose_name=_("model version"), on_delete=models.SET_NULL, null=True, related_name="%(class)ss"
    )
    held_by = models.CharField(_("held by"), max_length=100, blank=True)
    items = models.JSONField(_("items"))
    scores = models.JSONField(_("scores"))
    reasons = models.JSONField(_("reasons"))
    propensities = models.JSONField(_("propensities"))
    sources = models.JSONField(_("sources"))
    fallback = models.CharField(_("fallback"), max_length=60, blank=True)
    fallback_reason = models.CharField(_("reason of the fallback"), max_length=30, blank=True)
    short_reason = models.CharField(_("reason of a short slate"), max_length=30, blank=True)
    context = models.JSONField(_("context"), default=dict)
    at = models.BigIntegerField(_("at (µs)"))
    duration_us = models.IntegerField(_("duration in µs"))

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return str(self.recommendation_id)


class Slate(SlateContent):
    """A slate that was shown. Clicks carry its `recommendation_id` back."""

    class Meta:
        verbose_name = _("slate")
        verbose_name_plural = _("slates")
        indexes = [
            models.Index(fields=["user_id", "-at"], name="slate_by_user"),
            models.Index(fields=["strategy_version", "-at"], name="slate_by_strategy"),
            models.Index(fields=["at"], name="slate_by_time"),
            models.Index(fields=["held_by", "at"], name="slate_by_holder", condition=~models.Q(held_by="")),
        ]


class PreparedSlate(SlateContent):
    """A slate made ahead for a batch (a sending); it becomes a `Slate` when it is taken."""

    batch = models.CharField(_("batch"), max_length=100)

    class Meta:
        verbose_name = _("prepared slate")
        verbose_name_plural = _("prepared slates")
        indexes = [models.Index(fields=["at"], name="prepared_slate_by_time")]
        constraints = [models.UniqueConstraint(fields=["batch", "user_id"], name="one_prepared_slate_per_person")]
