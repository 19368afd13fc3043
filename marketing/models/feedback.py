"""What comes back of messages."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from marketing.choices import FeedbackKind


class MailFeedback(models.Model):
    """What came back of one message: a bounce or a complaint, each kind once whatever ways it came.

    It counts, and names nobody: the address is a keyed hash, which outlives the person's profile.
    """

    kind = models.CharField(max_length=10, choices=FeedbackKind)
    address_hash = models.CharField(max_length=64)
    campaign = models.ForeignKey(
        "marketing.Campaign",
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="feedback",
        db_index=False,
    )
    arm_key = models.SlugField(max_length=64, blank=True, db_index=False)
    status = models.CharField(max_length=12, blank=True, help_text=_("RFC 3463, such as 5.1.1."))
    source = models.CharField(max_length=20)
    report = models.CharField(max_length=80, unique=True, help_text=_("The message and the kind, or the report's id."))
    at = models.DateTimeField()

    class Meta:
        verbose_name = _("feedback to a message")
        verbose_name_plural = _("feedback to messages")
        constraints = [
            models.CheckConstraint(
                name="marketing_feedback_kind", condition=Q(kind__in=[choice.value for choice in FeedbackKind])
            ),
        ]
        indexes = [
            # Whether an address bounced again and again; how many complained of a campaign.
            models.Index(fields=["address_hash", "kind", "at"], name="marketing_feedback_address"),
            models.Index(fields=["campaign", "kind", "arm_key"], name="marketing_feedback_campaign"),
        ]

    def __str__(self) -> str:
        return self.report
