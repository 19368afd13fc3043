"""Strategies: named uses of an algorithm. A version never changes after it was made."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class Strategy(models.Model):
    """What a marketer picks for an arm. Its current version says how it works."""

    slug = models.SlugField(_("slug"), max_length=60, unique=True)
    name = models.CharField(_("name"), max_length=120)
    description = models.TextField(_("description"), blank=True)
    is_active = models.BooleanField(_("active"), default=True)
    retrain_hours = models.PositiveIntegerField(_("hours between trainings"), default=24)
    current_version = models.ForeignKey(
        "recommender.StrategyVersion",
        verbose_name=_("current version"),
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
    )
    lease_token = models.CharField(_("lease token"), max_length=36, blank=True, editable=False)
    lease_until = models.DateTimeField(_("lease until"), null=True, editable=False)
    created_at = models.DateTimeField(_("created at"))

    class Meta:
        verbose_name = _("strategy")
        verbose_name_plural = _("strategies")
        permissions = [("train_strategy", "Can train a strategy, publish its models and roll back")]

    def __str__(self) -> str:
        return self.name


class StrategyVersion(models.Model):
    """Algorithm, parameters, filters, rules and fallbacks, fixed; an edit of a strategy makes the next version."""

    strategy = models.ForeignKey(
        Strategy, verbose_name=_("strategy"), on_delete=models.CASCADE, related_name="versions"
    )
    number = models.PositiveIntegerField(_("number"))
    algorithm = models.CharField(_("algorithm"), max_length=60)
    parameters = models.JSONField(_("parameters"), default=dict)
    filters = models.JSONField(_("filters"), default=dict)
    rules = models.JSONField(_("rules"), default=dict)
    fallbacks = models.JSONField(_("fallbacks"), default=list, help_text=_("Slugs of strategies, tried in this order."))
    window_days = models.PositiveIntegerField(
        _("training window in days"), null=True, blank=True, help_text=_("Empty: all events.")
    )
    leave_out_treated = models.BooleanField(
        _("train without what treated people did"),
        default=False,
        help_text=_("Leaves out what people in a running experiment did after they met its treatment."),
    )
    created_at = models.DateTimeField(_("created at"))

    class Meta:
        verbose_name = _("strategy version")
        verbose_name_plural = _("strategy versions")
        constraints = [
            models.UniqueConstraint(fields=["strategy", "number"], name="one_strategy_version_per_number"),
            models.CheckConstraint(condition=Q(number__gte=1), name="strategy_version_from_one"),
        ]

    def __str__(self) -> str:
        return f"{self.strategy_id}.{self.number}"


class StrategyHold(models.Model):
    """Somebody (a running experiment) goes on with this version while the strategy moves on."""

    strategy = models.ForeignKey(Strategy, verbose_name=_("strategy"), on_delete=models.CASCADE, related_name="holds")
    strategy_version = models.ForeignKey(
        StrategyVersion, verbose_name=_("strategy version"), on_delete=models.CASCADE, related_name="holds"
    )
    holder = models.CharField(_("held by"), max_length=100)
    since = models.DateTimeField(_("since"))
    until = models.DateTimeField(_("until"), null=True, help_text=_("Empty: it is still held."))

    class Meta:
        verbose_name = _("held version")
        verbose_name_plural = _("held versions")
        constraints = [
            models.UniqueConstraint(fields=["holder", "strategy"], name="one_held_version_per_holder"),
            models.CheckConstraint(condition=~Q(holder=""), name="strategy_holder_is_given"),
        ]

    def __str__(self) -> str:
        return f"{self.holder}: {self.strategy_version_id}"
