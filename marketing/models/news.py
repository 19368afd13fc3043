"""What the calculations that follow the events have still to do, and what they did."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from marketing.choices import TraitRunKind


class ProfileNews(models.Model):
    """Something was stored about a person that the computed traits have not counted yet.

    Written in the transaction that stores it; at most two rows a person (one of them claimed), however much is stored.
    """

    profile = models.ForeignKey(
        "marketing.Profile", on_delete=models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )
    is_claimed = models.BooleanField(default=False)

    class Meta:
        verbose_name = _("news of a profile")
        verbose_name_plural = _("news of profiles")
        constraints = [
            models.UniqueConstraint(fields=["profile", "is_claimed"], name="marketing_news_once"),
        ]

    def __str__(self) -> str:
        return f"{self.profile_id}"


class TraitRun(models.Model):
    """One calculation of the computed traits: what it looked at, and the numbers that hold for everybody."""

    kind = models.CharField(_("kind"), max_length=12, choices=TraitRunKind)
    at = models.DateTimeField(_("as of"), help_text=_("The moment that windows reach back from."))
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    fingerprint = models.CharField(
        max_length=64, help_text=_("Of the definitions, weights and time zone; when they change, everybody is counted.")
    )
    parameters = models.JSONField(
        _("parameters"), default=dict, help_text=_("Bounds of the scores and fitted models (schema 1).")
    )
    people_n = models.BigIntegerField(_("people recounted"), default=0)
    changed_n = models.BigIntegerField(_("values changed"), default=0)

    class Meta:
        verbose_name = _("calculation of traits")
        verbose_name_plural = _("calculations of traits")

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.at:%Y-%m-%d %H:%M}"


class ItemLabel(models.Model):
    """The category and brand under which the traits have counted an item, so that a change of the catalogue shows."""

    item_id = models.CharField(max_length=200, unique=True)
    category = models.CharField(max_length=200, blank=True)
    brand = models.CharField(max_length=200, blank=True)

    class Meta:
        verbose_name = _("label of an item")
        verbose_name_plural = _("labels of items")

    def __str__(self) -> str:
        return self.item_id
