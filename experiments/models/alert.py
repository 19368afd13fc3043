"""Alerts: what happened, once; who is told, and whether it arrived. Also who reads the weekly digest."""

from __future__ import annotations

import secrets

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from experiments.choices import AlertKind, DeliveryStatus, RecipientKind

NONCE_BYTES = 16


def new_nonce() -> str:
    """What a recipient's signing secret, or a reader's links, are derived from."""
    return secrets.token_hex(NONCE_BYTES)


class Recipient(models.Model):
    """Who is told. The signing secret is derived from `nonce` and never stored."""

    kind = models.CharField(_("kind"), max_length=7, choices=RecipientKind.choices)
    address = models.CharField(_("address"), max_length=500, help_text=_("An e-mail address or an https address."))
    kinds = models.JSONField(_("only these alerts"), default=list, blank=True, help_text=_("Empty: all of them."))
    experiment = models.ForeignKey(
        "experiments.Experiment",
        on_delete=models.CASCADE,
        related_name="recipients",
        null=True,
        blank=True,
        verbose_name=_("only of this experiment"),
    )
    nonce = models.CharField(_("nonce"), max_length=64, default=new_nonce, editable=False)
    is_active = models.BooleanField(_("active"), default=True)
    created_at = models.DateTimeField(_("created at"))
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        related_name="+",
        null=True,
        blank=True,
        verbose_name=_("created by"),
    )

    class Meta:
        verbose_name = _("recipient of alerts")
        verbose_name_plural = _("recipients of alerts")
        constraints = [
            models.UniqueConstraint(fields=["kind", "address", "experiment"], name="recipient_once_of_experiment"),
            models.UniqueConstraint(
                fields=["kind", "address"], condition=models.Q(experiment=None), name="recipient_once_of_all"
            ),
        ]

    def __str__(self) -> str:
        return self.address


class Alert(models.Model):
    """One event of one experiment; `subject` tells it from others of its kind (an arm and a metric, a verdict)."""

    experiment = models.ForeignKey("experiments.Experiment", on_delete=models.CASCADE, related_name="alerts")
    kind = models.CharField(_("kind"), max_length=20, choices=AlertKind.choices)
    subject = models.CharField(_("subject"), max_length=200, blank=True)
    at = models.DateTimeField(_("at"))
    message = models.JSONField(_("message"), help_text=_("Code and parameters of the sentence."))

    class Meta:
        verbose_name = _("alert")
        verbose_name_plural = _("alerts")
        constraints = [
            models.UniqueConstraint(fields=["experiment", "kind", "subject"], name="alert_once_an_event"),
        ]
        indexes = [models.Index(fields=["-at"], name="alert_newest")]

    def __str__(self) -> str:
        return f"{self.experiment_id} {self.kind} {self.subject}"


class AlertDelivery(models.Model):
    """One alert on its way to one recipient: an outbox that a scheduled task empties."""

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="deliveries")
    recipient = models.ForeignKey(Recipient, on_delete=models.CASCADE, related_name="deliveries")
    status = models.CharField(_("status"), max_length=8, choices=DeliveryStatus.choices, default=DeliveryStatus.PENDING)
    attempts_n = models.PositiveSmallIntegerField(_("attempts"), default=0)
    due_at = models.DateTimeField(_("due at"))
    sent_at = models.DateTimeField(_("sent at"), null=True, blank=True)
    error = models.CharField(_("last error"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("delivery of an alert")
        verbose_name_plural = _("deliveries of alerts")
        constraints = [
            models.UniqueConstraint(fields=["alert", "recipient"], name="alert_delivery_once"),
        ]
        indexes = [models.Index(fields=["status", "due_at"], name="alert_delivery_due")]

    def __str__(self) -> str:
        return f"{self.alert_id} → {self.recipient_id}: {self.status}"


class DigestSubscription(models.Model):
    """Somebody without an account who reads the weekly digest, once the address was confirmed."""

    address = models.EmailField(_("address"), unique=True)
    language = models.CharField(_("language"), max_length=12, default="en")
    nonce = models.CharField(_("nonce"), max_length=64, default=new_nonce, editable=False)
    created_at = models.DateTimeField(_("created at"))
    invited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        related_name="+",
        null=True,
        blank=True,
        verbose_name=_("invited by"),
    )
    invitation_sent_at = models.DateTimeField(_("invitation sent at"), null=True, blank=True)
    confirmed_at = models.DateTimeField(_("confirmed at"), null=True, blank=True)
    ended_at = models.DateTimeField(_("unsubscribed at"), null=True, blank=True)
    last_week = models.CharField(_("last week sent"), max_length=8, blank=True)

    class Meta:
        verbose_name = _("reader of the digest")
        verbose_name_plural = _("readers of the digest")

    def __str__(self) -> str:
        return self.address
