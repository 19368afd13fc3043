"""Who sends, to whom never again, how often at most, and whether a channel works."""

from __future__ import annotations

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from marketing.choices import CampaignKind, SuppressionReason


class Sender(models.Model):
    """Whose name stands in the From line. Its postal address is in the foot of every message."""

    name = models.CharField(_("name"), max_length=100)
    email = models.EmailField(_("address"))
    reply_to = models.EmailField(_("replies go to"), blank=True)
    return_path = models.EmailField(
        _("bounces go to"), blank=True, help_text=_("The mailbox that `read_bounces` reads; empty: the address above.")
    )
    postal_address = models.TextField(
        _("postal address"), max_length=300, help_text=_("The law asks for it in every message.")
    )
    dkim_selector = models.CharField(
        _("DKIM selector"),
        max_length=63,
        blank=True,
        help_text=_(
            "The name of the key that your mail server or provider signs with; it stands before “._domainkey”."
        ),
    )
    # What the DNS said of the domain: codes and names, null before it was asked.
    domain_findings = models.JSONField(null=True, blank=True, editable=False)
    domain_checked_at = models.DateTimeField(_("domain checked at"), null=True, blank=True, editable=False)

    class Meta:
        verbose_name = _("sender")
        verbose_name_plural = _("senders")
        constraints = [
            models.UniqueConstraint(name="marketing_sender_once", fields=["email"]),
            models.CheckConstraint(name="marketing_sender_address", condition=~Q(postal_address="")),
        ]

    def __str__(self) -> str:
        return f"{self.name} <{self.email}>"


class Suppression(models.Model):
    """An address that gets no marketing any more. A keyed hash: it outlives the person's profile and names nobody."""

    address_hash = models.CharField(max_length=64, unique=True)
    reason = models.CharField(max_length=20, choices=SuppressionReason)
    at = models.DateTimeField()

    class Meta:
        verbose_name = _("suppressed address")
        verbose_name_plural = _("suppressed addresses")

    def __str__(self) -> str:
        return self.address_hash[:8]


class FrequencyCap(models.Model):
    """At most so many messages to one person in so many days; the control's withheld ones count, too."""

    messages = models.PositiveSmallIntegerField(_("messages"), validators=[MinValueValidator(1)])
    days = models.PositiveSmallIntegerField(_("days"), validators=[MinValueValidator(1)])
    channel = models.CharField(
        _("channel"),
        max_length=12,
        choices=CampaignKind.choices,
        blank=True,
        help_text=_("Empty: all channels together."),
    )

    class Meta:
        verbose_name = _("frequency cap")
        verbose_name_plural = _("frequency caps")
        constraints = [
            models.UniqueConstraint(name="marketing_cap_once", fields=["channel", "days"]),
            models.CheckConstraint(name="marketing_cap_positive", condition=Q(messages__gte=1, days__gte=1)),
        ]

    def __str__(self) -> str:
        return f"{self.messages}/{self.days} d {self.channel}".rstrip()


class ChannelState(models.Model):
    """Whether a channel's provider answers: the circuit breaker that all workers share."""

    channel = models.CharField(max_length=20, unique=True)
    failures = models.PositiveIntegerField(default=0)
    open_until = models.DateTimeField(null=True, blank=True)
    last_error = models.CharField(max_length=200, blank=True)

    class Meta:
        verbose_name = _("state of a channel")
        verbose_name_plural = _("states of channels")

    def __str__(self) -> str:
        return self.channel
