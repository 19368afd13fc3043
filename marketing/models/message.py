from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from marketing.choices import DeliveryStatus, Outside


class Delivery(models.Model):
    """One message of one campaign to one person. It holds the state of the sending and nothing else.

    pending → claimed (by a worker, until the lease ends) → sending → sent | failed | uncertain; the control ends as
    withheld at the same point. The commit of claimed → sending fences the only step that cannot be taken back.
    """

    campaign = models.ForeignKey(
        "marketing.Campaign", on_delete=models.CASCADE, related_name="deliveries", db_index=False
    )
    step = models.PositiveSmallIntegerField(default=0)
    occurrence = models.CharField(max_length=64, blank=True)
    profile = models.ForeignKey(
        "marketing.Profile", on_delete=models.CASCADE, related_name="deliveries", db_index=False
    )
    arm_key = models.SlugField(max_length=64)
    status = models.CharField(max_length=10, choices=DeliveryStatus.choices, default=DeliveryStatus.PENDING)
    status_at = models.DateTimeField()
    send_at = models.DateTimeField(_("to be sent at"))
    expires_at = models.DateTimeField(_("too late from"), null=True, blank=True)
    # Of a triggered campaign: when the person did what it answers.
    triggered_at = models.BigIntegerField(null=True, blank=True, help_text=_("Microseconds since 1970, UTC."))
    claim = models.CharField(max_length=32, blank=True, help_text=_("Of the worker that holds it now."))
    lease_until = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    reason = models.CharField(max_length=200, blank=True)

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        constraints = [
            models.UniqueConstraint(
                name="marketing_delivery_once", fields=["campaign", "step", "occurrence", "profile"]
            ),
            models.CheckConstraint(
                name="marketing_delivery_status", condition=Q(status__in=[choice.value for choice in DeliveryStatus])
            ),
        ]
        indexes = [
            # The queue of one campaign, in the order in which it is taken: a million messages are due at one moment.
            models.Index(fields=["campaign", "status", "send_at", "id"], name="marketing_delivery_queue"),
            # What workers hold now: a few hundred of millions.
            models.Index(
                fields=["lease_until"], condition=Q(lease_until__isnull=False), name="marketing_delivery_lease"
            ),
            # Frequency caps ask what one person got lately.
            models.Index(fields=["profile", "status_at"], name="marketing_delivery_profile"),
        ]

    def __str__(self) -> str:
        return f"{self.campaign_id}/{self.step}/{self.occurrence}/{self.profile_id}: {self.status}"


class Link(models.Model):
    """Where a click may lead. Redirects read their target here and nowhere else."""

    campaign = models.ForeignKey("marketing.Campaign", on_delete=models.CASCADE, related_name="links")
    url = models.CharField(_("address"), max_length=500)

    class Meta:
        verbose_name = _("link")
        verbose_name_plural = _("links")
        constraints = [
            models.UniqueConstraint(name="marketing_link_once", fields=["campaign", "url"]),
            models.CheckConstraint(
                name="marketing_link_scheme",
                condition=Q(url__startswith="https://")
                | Q(url__startswith="http://")
                | (Q(url__startswith="/") & ~Q(url__startswith="//")),
            ),
        ]

    def __str__(self) -> str:
        return self.url


class OutsideCount(models.Model):
    """How often a campaign's slot showed the default outside the experiment, by day and reason; it names nobody."""

    campaign = models.ForeignKey("marketing.Campaign", on_delete=models.CASCADE, related_name="outside_counts")
    day = models.DateField()
    reason = models.CharField(max_length=20, choices=Outside.choices)
    n = models.PositiveBigIntegerField(default=0)

    class Meta:
        verbose_name = _("count of default experiences")
        verbose_name_plural = _("counts of default experiences")
        constraints = [
            models.UniqueConstraint(name="marketing_outside_once", fields=["campaign", "day", "reason"]),
        ]

    def __str__(self) -> str:
        return f"{self.campaign_id} {self.day} {self.reason}: {self.n}"
