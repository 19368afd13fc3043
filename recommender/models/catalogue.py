"""The catalogue: what can be recommended."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class Item(models.Model):
    """One thing a slate can show. Outside this app it is known by `item_id` only."""

    item_id = models.CharField(_("item id"), max_length=200, unique=True)
    title = models.CharField(_("title"), max_length=300)
    category = models.CharField(_("category"), max_length=200, blank=True, db_index=True)
    brand = models.CharField(_("brand"), max_length=200, blank=True)
    tags = models.JSONField(_("tags"), default=list, blank=True)
    text = models.TextField(
        _("text"), blank=True, help_text=_("Words that describe the item, for content-based models.")
    )
    attributes = models.JSONField(_("attributes"), default=dict, blank=True)
    price = models.BigIntegerField(_("price in micro-units"), null=True, blank=True)
    currency = models.CharField(_("currency"), max_length=3, blank=True)
    url = models.CharField(_("address"), max_length=1000, blank=True)
    image = models.CharField(_("image path"), max_length=500, blank=True)
    is_active = models.BooleanField(_("active"), default=True)
    stock = models.PositiveIntegerField(
        _("stock"), null=True, blank=True, help_text=_("Empty: not counted. At 0 the item is not recommended.")
    )
    min_age = models.PositiveSmallIntegerField(
        _("minimum age"), default=0, help_text=_("Shown only to people known to be of this age; 0: to everybody.")
    )
    published_at = models.DateTimeField(_("published at"), null=True, blank=True)
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)
    popularity = models.FloatField(_("popularity"), default=0.0, help_text=_("Written by training; the last fallback."))
    is_demo = models.BooleanField(_("demo"), default=False)
    created_at = models.DateTimeField(_("created at"))
    updated_at = models.DateTimeField(_("updated at"), db_index=True)

    class Meta:
        verbose_name = _("item")
        verbose_name_plural = _("items")
        indexes = [models.Index(fields=["-popularity", "id"], name="item_by_popularity")]
        constraints = [
            models.CheckConstraint(condition=~Q(item_id=""), name="item_id_is_given"),
            models.CheckConstraint(condition=Q(price__isnull=True) | Q(price__gte=0), name="item_price_not_negative"),
        ]

    def __str__(self) -> str:
        return self.title


class EventWeight(models.Model):
    """How much one event of a type says about interest."""

    event_type = models.CharField(_("event type"), max_length=100, unique=True)
    weight = models.FloatField(_("weight"))

    class Meta:
        verbose_name = _("event weight")
        verbose_name_plural = _("event weights")
        constraints = [models.CheckConstraint(condition=Q(weight__gte=0), name="event_weight_not_negative")]

    def __str__(self) -> str:
        return self.event_type
