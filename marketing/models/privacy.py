"""What a person's rights leave behind: requests with their due date, tombstones, limits and their proof."""

from __future__ import annotations

import secrets

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from marketing.choices import DataClass, NoticeStatus, RequestStatus, SpecialBasis

TOKEN_BYTES = 16


def new_token() -> str:
    """A random name that nobody guesses."""
    return secrets.token_hex(TOKEN_BYTES)


class Tombstone(models.Model):
    """An identity that was erased, as a keyed hash: what is older than the erasure does not come back."""

    identity_hash = models.CharField(max_length=64, unique=True)
    at = models.BigIntegerField(help_text=_("Microseconds since 1970, UTC."))

    class Meta:
        verbose_name = _("tombstone")
        verbose_name_plural = _("tombstones")

    def __str__(self) -> str:
        return self.identity_hash[:8]


class DataRequest(models.Model):
    """Somebody asked for a copy of their data (Art. 15 and 20 GDPR); a task answers it."""

    profile = models.ForeignKey("marketing.Profile", on_delete=models.CASCADE, related_name="data_requests")
    token = models.CharField(_("name of the file"), max_length=32, unique=True, default=new_token, editable=False)
    status = models.CharField(_("status"), max_length=10, choices=RequestStatus.choices, default=RequestStatus.PENDING)
    requested_at = models.DateTimeField(_("asked at"))
    due_at = models.DateTimeField(_("due at"))
    answered_at = models.DateTimeField(_("answered at"), null=True, blank=True)
    failure = models.CharField(_("failure"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("request for data")
        verbose_name_plural = _("requests for data")
        constraints = [
            models.UniqueConstraint(
                name="marketing_datarequest_open", fields=["profile"], condition=Q(status=RequestStatus.PENDING)
            ),
        ]
        indexes = [models.Index(fields=["status", "due_at"], name="marketing_datarequest_due")]

    def __str__(self) -> str:
        return f"{self.profile_id}: {self.status}"


class RetentionRule(models.Model):
    """How long one class of data is kept."""

    data_class = models.CharField(_("data"), max_length=20, choices=DataClass.choices, unique=True)
    days = models.PositiveIntegerField(
        _("days"), null=True, blank=True, help_text=_("Older data is deleted every night. Empty: it is kept.")
    )

    class Meta:
        verbose_name = _("retention rule")
        verbose_name_plural = _("retention rules")
        constraints = [models.CheckConstraint(name="marketing_retention_days", condition=Q(days__gte=1))]

    def __str__(self) -> str:
        return self.get_data_class_display()


class RetentionProof(models.Model):
    """What one night deleted of one class, and what was counted afterwards."""

    data_class = models.CharField(_("data"), max_length=20, choices=DataClass.choices)
    at = models.DateTimeField(_("at"))
    days = models.PositiveIntegerField(_("days"))
    deleted_n = models.PositiveBigIntegerField(_("deleted"))
    older_n = models.PositiveBigIntegerField(_("older than the limit afterwards"))

    class Meta:
        verbose_name = _("proof of retention")
        verbose_name_plural = _("proofs of retention")
        indexes = [models.Index(fields=["data_class", "-at"], name="marketing_retention_newest")]

    def __str__(self) -> str:
        return f"{self.data_class} {self.at:%Y-%m-%d}: {self.older_n}"


class DataRecipient(models.Model):
    """Who gets personal data from here and is told of an erasure (Art. 19 GDPR). The signing secret is derived."""

    name = models.CharField(_("name"), max_length=100, unique=True)
    url = models.CharField(_("address"), max_length=500)
    identity_kinds = models.JSONField(
        _("knows people by"), default=list, help_text=_("Kinds of identities; nothing else is told.")
    )
    nonce = models.CharField(_("nonce"), max_length=32, default=new_token, editable=False)
    is_active = models.BooleanField(_("active"), default=True)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    class Meta:
        verbose_name = _("recipient of data")
        verbose_name_plural = _("recipients of data")

    def __str__(self) -> str:
        return self.name


class ErasureNotice(models.Model):
    """The news of one erasure on its way to one recipient. What it says is deleted once it arrived, or was given up."""

    recipient = models.ForeignKey(DataRecipient, on_delete=models.CASCADE, related_name="notices")
    token = models.CharField(max_length=32, unique=True, default=new_token, editable=False)
    status = models.CharField(_("status"), max_length=10, choices=NoticeStatus.choices, default=NoticeStatus.PENDING)
    identities = models.JSONField(_("identities"), default=list)
    erased_at = models.DateTimeField(_("erased at"))
    due_at = models.DateTimeField(_("due at"))
    attempts_n = models.PositiveSmallIntegerField(_("attempts"), default=0)
    sent_at = models.DateTimeField(_("sent at"), null=True, blank=True)
    error = models.CharField(_("last error"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("notice of an erasure")
        verbose_name_plural = _("notices of erasures")
        indexes = [models.Index(fields=["status", "due_at"], name="marketing_notice_due")]

    def __str__(self) -> str:
        return f"{self.token[:8]} → {self.recipient_id}: {self.status}"


class TraitBasis(models.Model):
    """On what legal basis a protected trait is kept and reported on; without one it is neither."""

    definition = models.OneToOneField(
        "marketing.TraitDefinition", on_delete=models.CASCADE, related_name="basis", verbose_name=_("trait")
    )
    basis = models.CharField(_("basis"), max_length=20, choices=SpecialBasis.choices)
    reason = models.TextField(_("reason"), max_length=1_000)
    recorded_at = models.DateTimeField(_("recorded at"))
    recorded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        verbose_name = _("legal basis of a trait")
        verbose_name_plural = _("legal bases of traits")
        constraints = [models.CheckConstraint(name="marketing_basis_reason", condition=~Q(reason=""))]

    def __str__(self) -> str:
        return f"{self.definition_id}: {self.basis}"
