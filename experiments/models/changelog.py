"""The append-only log of changes; a trigger of the database refuses every update."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _


class ChangeLog(models.Model):
    """One row per transition, written by the transition function in the same transaction."""

    object_type = models.CharField(_("object type"), max_length=64)
    object_id = models.BigIntegerField(_("object id"))
    transition = models.CharField(_("transition"), max_length=64)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        related_name="+",
        null=True,
        blank=True,
        verbose_name=_("actor"),
    )
    at = models.DateTimeField(_("at"))
    message = models.TextField(_("message"), blank=True)
    snapshot = models.JSONField(_("snapshot"), default=dict)

    class Meta:
        verbose_name = _("change")
        verbose_name_plural = _("change log")
        indexes = [models.Index(name="experiments_changelog_object", fields=["object_type", "object_id", "id"])]

    def __str__(self) -> str:
        return f"{self.object_type} {self.object_id}: {self.transition}"
