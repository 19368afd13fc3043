from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from marketing.choices import Cadence, CampaignKind, CampaignStatus, CrashPolicy


def every_day() -> list[int]:
    """Return all days of the week, Monday first."""
    return list(range(7))


class Campaign(models.Model):
    """What is shown to whom, and the experiment that tells what it caused."""

    slug = models.SlugField(_("slug"), max_length=64, unique=True)
    name = models.CharField(_("name"), max_length=100)
    status = models.CharField(_("status"), max_length=12, choices=CampaignStatus.choices, default=CampaignStatus.DRAFT)
    kind = models.CharField(_("kind"), max_length=12, choices=CampaignKind.choices, default=CampaignKind.PAGE)
    segment = models.ForeignKey(
        "marketing.Segment",
        verbose_name=_("segment"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="campaigns",
        help_text=_("Empty: everybody who gave the consents below."),
    )
    experiment_key = models.SlugField(_("experiment"), max_length=100, blank=True)
    goal_metric = models.SlugField(_("goal"), max_length=64)
    guardrail_metrics = models.JSONField(_("guardrails"), default=list, blank=True)
    consent_purposes = models.JSONField(_("consents needed"), default=list, blank=True)
    no_control_reason = models.CharField(_("reason for no control group"), max_length=300, blank=True)
    # What the sample-size helper was asked; frozen in the experiment's plan at the launch.
    baseline = models.FloatField(_("expected rate without the campaign"), default=0.05)
    mde = models.FloatField(_("smallest lift worth finding"), default=0.1)
    people_per_day = models.PositiveIntegerField(_("people per day"), default=100)
    starts_at = models.DateTimeField(_("starts at"), null=True, blank=True)
    ends_at = models.DateTimeField(_("ends at"), null=True, blank=True)
    # E-mail only.
    sender = models.ForeignKey(
        "marketing.Sender", verbose_name=_("sender"), null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    crash_policy = models.CharField(
        _("if a worker dies"), max_length=10, choices=CrashPolicy.choices, default=CrashPolicy.HOLD
    )
    window_from = models.PositiveSmallIntegerField(_("send from (hour)"), default=8)
    window_until = models.PositiveSmallIntegerField(_("send until (hour)"), default=20)
    per_minute = models.PositiveIntegerField(_("messages per minute"), null=True, blank=True)
    weekdays = models.JSONField(_("send on"), default=every_day, help_text=_("0 is Monday."))
    expires_hours = models.PositiveSmallIntegerField(
        _("too late after (hours)"),
        null=True,
        blank=True,
        help_text=_("A message that could not go so long after its time is not sent any more."),
    )
    # When people get it: once; again and again, each time a new audience; or after something they did.
    cadence = models.CharField(_("sent"), max_length=10, choices=Cadence.choices, default=Cadence.ONCE)
    every_days = models.PositiveSmallIntegerField(_("every so many days"), null=True, blank=True)
    trigger_event = models.CharField(_("after this event"), max_length=100, blank=True)
    trigger_segment = models.ForeignKey(
        "marketing.Segment",
        verbose_name=_("on entering this segment"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
    )
    delay_minutes = models.PositiveIntegerField(_("minutes later"), default=0)
    cancel_event = models.CharField(
        _("unless this happened since"), max_length=100, blank=True, help_text=_("An event; it also starts afresh.")
    )
    again_days = models.PositiveSmallIntegerField(
        _("again after (days)"), null=True, blank=True, help_text=_("Empty: once per person.")
    )
    # Until when triggers were answered, in microseconds since 1970: what came in a little late is looked at once more.
    trigger_cursor = models.BigIntegerField(default=0)
    # What it costs and what a sale leaves, in millionths of the reporting currency.
    fixed_cost = models.BigIntegerField(_("fixed cost"), default=0)
    message_cost = models.BigIntegerField(_("cost per message"), default=0)
    margin = models.FloatField(
        _("margin"), null=True, blank=True, help_text=_("Share of the revenue that is left after the goods.")
    )
    # What a control that gets nothing cannot have is held against a ceiling of its own.
    unsubscribe_ceiling = models.FloatField(_("most unsubscribes"), null=True, blank=True)
    complaint_ceiling = models.FloatField(_("most complaints"), null=True, blank=True)
    # Frozen by the first worker after the launch.
    audience_n = models.PositiveIntegerField(_("people in the audience"), null=True, blank=True)
    audience_hash = models.CharField(_("hash of the audience"), max_length=64, blank=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    is_demo = models.BooleanField(_("demo"), default=False)
    created_at = models.DateTimeField(_("created at"))
    launched_at = models.DateTimeField(_("launched at"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)

    class Meta:
        verbose_name = _("campaign")
        verbose_name_plural = _("campaigns")
        permissions = [("launch_campaign", _("Can launch, pause and finish campaigns"))]
        constraints = [
            models.UniqueConstraint(
                name="marketing_campaign_experiment", fields=["experiment_key"], condition=~Q(experiment_key="")
            ),
            models.CheckConstraint(
                name="marketing_campaign_status", condition=Q(status__in=[choice.value for choice in CampaignStatus])
            ),
            models.CheckConstraint(
                name="marketing_campaign_running_has_experiment",
                condition=~Q(status__in=["running", "paused", "finished"]) | ~Q(experiment_key=""),
            ),
            models.CheckConstraint(
                name="marketing_campaign_window",
                condition=Q(window_until__gt=models.F("window_from")) & Q(window_until__lte=24),
            ),
            models.CheckConstraint(
                name="marketing_campaign_cadence",
                condition=(
                    Q(cadence="once")
                    | Q(cadence="recurring", every_days__gte=1)
                    | (Q(cadence="triggered") & (~Q(trigger_event="") ^ Q(trigger_segment__isnull=False)))
                ),
            ),
            models.CheckConstraint(
                name="marketing_campaign_money",
                condition=Q(fixed_cost__gte=0, message_cost__gte=0)
                & (Q(margin__isnull=True) | Q(margin__gt=0, margin__lte=1)),
            ),
            models.CheckConstraint(
                name="marketing_campaign_ceilings",
                condition=(
                    Q(unsubscribe_ceiling__isnull=True) | Q(unsubscribe_ceiling__gt=0, unsubscribe_ceiling__lt=1)
                )
                & (Q(complaint_ceiling__isnull=True) | Q(complaint_ceiling__gt=0, complaint_ceiling__lt=1)),
            ),
            models.CheckConstraint(
                name="marketing_campaign_period",
                condition=Q(starts_at__isnull=True) | Q(ends_at__isnull=True) | Q(ends_at__gt=models.F("starts_at")),
            ),
        ]
        indexes = [models.Index(fields=["status"], name="marketing_campaign_status")]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("marketing:campaign-detail", args=[self.slug])


class Creative(models.Model):
    """The words and the picture of one arm. A row never changes: an edit is a new version."""

    key = models.CharField(_("key"), max_length=140)
    version = models.PositiveIntegerField(_("version"))
    subject = models.CharField(_("subject"), max_length=150, blank=True, help_text=_("E-mail only."))
    headline = models.CharField(_("headline"), max_length=120)
    body = models.TextField(_("text"), max_length=10_000, blank=True)
    button_text = models.CharField(_("button"), max_length=40, blank=True)
    image = models.CharField(_("picture"), max_length=200, blank=True, help_text=_("A path below the static files."))
    translations = models.JSONField(
        _("other languages"),
        default=list,
        blank=True,
        help_text=_("Words by language; where one is missing, the ones above are used."),
    )
    created_at = models.DateTimeField(_("created at"))
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        verbose_name = _("creative")
        verbose_name_plural = _("creatives")
        constraints = [models.UniqueConstraint(name="marketing_creative_version", fields=["key", "version"])]

    def __str__(self) -> str:
        return f"{self.headline} (v{self.version})"


class CampaignArm(models.Model):
    """One of the compared experiences: a creative and, unless it is empty, a recommendation strategy."""

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="arms")
    key = models.SlugField(_("key"), max_length=64)
    name = models.CharField(_("name"), max_length=100)
    is_control = models.BooleanField(_("control"), default=False)
    position = models.PositiveSmallIntegerField(_("position"))
    creative = models.ForeignKey(Creative, on_delete=models.PROTECT, related_name="arms")
    strategy = models.SlugField(_("recommendations"), max_length=64, blank=True)
    item_count = models.PositiveSmallIntegerField(_("number of items"), default=4)
    percent = models.PositiveSmallIntegerField(_("share of people (%)"))
    link = models.ForeignKey(
        "marketing.Link", verbose_name=_("link of the button"), null=True, blank=True, on_delete=models.PROTECT
    )

    class Meta:
        verbose_name = _("arm of a campaign")
        verbose_name_plural = _("arms of campaigns")
        constraints = [
            models.UniqueConstraint(name="marketing_arm_key", fields=["campaign", "key"]),
            models.UniqueConstraint(name="marketing_arm_position", fields=["campaign", "position"]),
            models.UniqueConstraint(
                name="marketing_arm_one_control", fields=["campaign"], condition=Q(is_control=True)
            ),
            models.CheckConstraint(name="marketing_arm_percent", condition=Q(percent__lte=100)),
        ]

    def __str__(self) -> str:
        return self.name


class Occurrence(models.Model):
    """One date of a recurring campaign: its audience is frozen anew, with its own hash."""

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="occurrences")
    key = models.CharField(_("key"), max_length=64)
    at = models.DateTimeField(_("frozen at"))
    people = models.PositiveIntegerField(_("people in the audience"), default=0)
    audience_hash = models.CharField(_("hash of the audience"), max_length=64, blank=True)

    class Meta:
        verbose_name = _("occurrence")
        verbose_name_plural = _("occurrences")
        constraints = [models.UniqueConstraint(name="marketing_occurrence_once", fields=["campaign", "key"])]

    def __str__(self) -> str:
        return f"{self.campaign_id} {self.key}"
