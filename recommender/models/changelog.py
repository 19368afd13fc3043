"""Who changed what: append-only."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _


class ChangeLog(models.Model):
    """One row per transition, written in the transition's own transaction."""

    object_type = models.CharField(_("object type"), max_length=40)
    object_id = models.CharField(_("object id"), max_length=200)
    transition = models.CharField(_("transition"), max_length=40)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("actor"), on_delete=models.SET_NULL, null=True, related_name="+"
    )
    at = models.DateTimeField(_("at"))
    message = models.TextField(_("message"), blank=True)
    snapshot = models.JSONField(_("snapshot"), default=dict)

    class Meta:
        verbose_name = _("change")
        verbose_name_plural = _("change log")
        indexes = [models.Index(fields=["object_type", "object_id", "-at"], name="recommender_change_by_object")]

    def __str__(self) -> str:
        return f"{self.object_type} {self.object_id}: {self.transition}"
