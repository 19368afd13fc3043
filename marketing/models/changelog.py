from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _


class ChangeLog(models.Model):
    """One row per transition, written by the transition in its transaction."""

    object_type = models.CharField(max_length=50)
    object_id = models.CharField(max_length=64)
    transition = models.CharField(max_length=50)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
    )
    at = models.DateTimeField()
    message = models.TextField(blank=True)
    snapshot = models.JSONField(default=dict)

    class Meta:
        verbose_name = _("change")
        verbose_name_plural = _("change log")
        indexes = [
            models.Index(
                fields=["object_type", "object_id", "at"],
                name="marketing_changelog_object",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.object_type} {self.object_id}: {self.transition}"
