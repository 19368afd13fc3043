from __future__ import annotations

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from marketing.choices import MembershipCause


class Segment(models.Model):
    """A rule over profiles and events, and who fulfils it."""

    slug = models.SlugField(max_length=64, unique=True)
    name = models.CharField(max_length=100)
    description = models.TextField(blank=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
    )
    version = models.ForeignKey(
        "marketing.SegmentVersion",
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text=_("The rule in force."),
    )
    members_n = models.IntegerField(default=0, help_text=_("At the last refresh."))
    refreshed_version = models.ForeignKey(
        "marketing.SegmentVersion",
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text=_("The rule that the stored members fulfil."),
    )
    refreshed_at = models.DateTimeField(null=True, blank=True)
    seen_change = models.BigIntegerField(default=0, help_text=_("The last of the changes that the last refresh saw."))
    failed_at = models.DateTimeField(null=True, blank=True)
    failure = models.CharField(max_length=200, blank=True)
    archived_at = models.DateTimeField(null=True, blank=True)
    is_marketing = models.BooleanField(
        default=False,
        help_text=_("For direct marketing: whoever objected to it is never a member."),
    )
    is_list = models.BooleanField(default=False, help_text=_("Its members come from files, not from behaviour."))
    is_demo = models.BooleanField(default=False)
    created_at = models.DateTimeField()

    class Meta:
        verbose_name = _("segment")
        verbose_name_plural = _("segments")

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("marketing:segment-detail", kwargs={"slug": self.slug})


class SegmentVersion(models.Model):
    """One wording of the rule, never changed (a trigger guards it)."""

    segment = models.ForeignKey(Segment, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    rule = models.JSONField()
    sha256 = models.CharField(max_length=64)
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        verbose_name = _("segment version")
        verbose_name_plural = _("segment versions")
        constraints = [
            models.UniqueConstraint(fields=["segment", "number"], name="marketing_version_once"),
        ]

    def __str__(self) -> str:
        return f"{self.segment_id} v{self.number}"


class Membership(models.Model):
    """Who is in a segment, since when."""

    segment = models.ForeignKey(Segment, on_delete=models.CASCADE, related_name="memberships", db_index=False)
    profile = models.ForeignKey("marketing.Profile", on_delete=models.CASCADE, related_name="memberships")
    entered_at = models.DateTimeField()

    class Meta:
        verbose_name = _("membership")
        verbose_name_plural = _("memberships")
        constraints = [
            models.UniqueConstraint(fields=["segment", "profile"], name="marketing_membership_once"),
        ]

    def __str__(self) -> str:
        return f"{self.profile_id} ∈ {self.segment_id}"


class MembershipEvent(models.Model):
    """Somebody entered (+1) or left (−1) a segment, and why."""

    segment = models.ForeignKey(Segment, on_delete=models.CASCADE, db_index=False)
    profile = models.ForeignKey("marketing.Profile", on_delete=models.CASCADE)
    change = models.SmallIntegerField()
    at = models.DateTimeField()
    cause = models.CharField(max_length=10, choices=MembershipCause)

    class Meta:
        verbose_name = _("membership change")
        verbose_name_plural = _("membership changes")
        constraints = [
            models.CheckConstraint(
                name="marketing_membership_change",
                condition=models.Q(change__in=(-1, 1)),
            ),
        ]
        indexes = [
            models.Index(fields=["segment", "at"], name="marketing_membership_history"),
        ]

    def __str__(self) -> str:
        return f"{self.profile_id} {self.change:+d} {self.segment_id}"


class ChangedProfile(models.Model):
    """Somebody of whom a rule may ask has changed: written in the transaction of the change, gone with the refresh."""

    # No constraint: the mark of somebody who is deleted meanwhile is deleted with the next refresh.
    profile = models.ForeignKey(
        "marketing.Profile", on_delete=models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )
    cause = models.CharField(max_length=10, choices=MembershipCause)
    claim = models.CharField(max_length=32, blank=True, default="")

    class Meta:
        verbose_name = _("changed profile")
        verbose_name_plural = _("changed profiles")

    def __str__(self) -> str:
        return f"{self.profile_id} ({self.cause})"
