"""How far the drainer has come, in the same database and transaction as what it stored."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class SpoolOffset(models.Model):
    """The bytes of a segment that are in the database."""

    segment = models.CharField(_("segment"), max_length=255, unique=True)
    offset = models.BigIntegerField(_("bytes drained"), default=0)
    updated_at = models.DateTimeField(_("updated at"))

    class Meta:
        verbose_name = _("spool offset")
        verbose_name_plural = _("spool offsets")

    def __str__(self) -> str:
        return self.segment
