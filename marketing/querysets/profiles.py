from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models

if TYPE_CHECKING:
    from marketing.models import Profile  # noqa: F401 - named in the annotation below


class ProfileQuerySet(models.QuerySet["Profile"]):
    def living(self) -> ProfileQuerySet:
        """Without the losers of merges, whose facts count for their winner."""
        return self.filter(merged_into__isnull=True)
