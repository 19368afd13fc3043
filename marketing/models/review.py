from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class ReviewPolicy(models.Model):
    """Whether a second person must approve a campaign; one row at most, and without one the answer is yes."""

    is_on = models.BooleanField(_("a second person must approve"))
    changed_at = models.DateTimeField(_("changed at"))
    changed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("changed by"),
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    reason = models.CharField(_("reason"), max_length=300, blank=True)

    class Meta:
        verbose_name = _("review policy")
        verbose_name_plural = _("review policy")
        constraints = [
            models.CheckConstraint(name="marketing_review_one_row", condition=Q(id=1)),
            models.CheckConstraint(name="marketing_review_off_reason", condition=Q(is_on=True) | ~Q(reason="")),
        ]

    def __str__(self) -> str:
        return str(_("on") if self.is_on else _("off"))
