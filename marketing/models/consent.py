from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from marketing.choices import ConsentChannel, LawfulBasis, Purpose


class Consent(models.Model):
    """One statement about one purpose. Withdrawal is a new row, never a change."""

    profile = models.ForeignKey("marketing.Profile", on_delete=models.PROTECT, db_index=False)
    purpose = models.CharField(max_length=20, choices=Purpose)
    channel = models.CharField(
        max_length=10, choices=ConsentChannel, blank=True, db_default="", help_text=_("Empty: every channel.")
    )
    granted = models.BooleanField(default=False)
    lawful_basis = models.CharField(max_length=20, choices=LawfulBasis)
    text_version = models.CharField(max_length=40)
    text_sha256 = models.CharField(max_length=64)
    source = models.CharField(max_length=100, help_text=_("The form, interface, import row or agent."))
    at = models.BigIntegerField(help_text=_("Microseconds since 1970, UTC."))
    evidence = models.JSONField(default=dict, blank=True)

    class Meta:
        verbose_name = _("consent")
        verbose_name_plural = _("consents")
        indexes = [
            models.Index(
                fields=["profile", "purpose", "at", "id"],
                name="marketing_consent_latest",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.profile_id} {self.purpose}: {self.granted}"


class ConsentText(models.Model):
    """The words that somebody agreed to or refused, kept once; statements name them by their hash."""

    sha256 = models.CharField(max_length=64, unique=True)
    version = models.CharField(max_length=40)
    text = models.TextField()
    first_at = models.BigIntegerField(help_text=_("Microseconds since 1970, UTC."))

    class Meta:
        verbose_name = _("consent text")
        verbose_name_plural = _("consent texts")

    def __str__(self) -> str:
        return self.version
