"""Stored computations: the report of one refresh, the looks taken, the lock of a refresh."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Snapshot(models.Model):
    """One refresh of one experiment. The current one is the last that went well."""

    class Status(models.TextChoices):
        OK = "ok", _("ok")
        FAILED = "failed", _("failed")

    experiment = models.ForeignKey("experiments.Experiment", on_delete=models.CASCADE, related_name="snapshots")
    at = models.DateTimeField(_("at"))
    status = models.CharField(_("status"), max_length=6, choices=Status.choices)
    is_current = models.BooleanField(_("current"), default=False)
    is_frozen = models.BooleanField(_("frozen at the decision"), default=False)
    report = models.JSONField(_("report"), null=True, blank=True)
    engine_version = models.CharField(_("engine version"), max_length=40)
    sql = models.TextField(_("SQL"), blank=True)
    fingerprint = models.CharField(_("fingerprint of the per-unit totals"), max_length=64, blank=True)
    row_counts = models.JSONField(_("row counts"), default=dict)
    watermark = models.JSONField(
        _("watermark"), default=dict, blank=True, help_text=_("How far merges of people and events had come.")
    )
    timings = models.JSONField(_("milliseconds by step"), default=dict, blank=True)
    # Compressed arrays (.npz, no pickle): what a replay computes from when the events are gone.
    aggregates = models.BinaryField(_("aggregates"), null=True, blank=True)
    duration_ms = models.PositiveIntegerField(_("duration in ms"), default=0)
    error = models.TextField(_("error"), blank=True)

    class Meta:
        verbose_name = _("snapshot")
        verbose_name_plural = _("snapshots")
        constraints = [
            models.UniqueConstraint(
                fields=["experiment"], condition=models.Q(is_current=True), name="snapshot_one_current"
            ),
            models.CheckConstraint(
                condition=models.Q(is_current=False) | models.Q(status="ok", report__isnull=False),
                name="snapshot_current_is_ok",
            ),
        ]
        indexes = [models.Index(fields=["experiment", "at"], name="snapshot_experiment_at")]

    def __str__(self) -> str:
        return f"{self.experiment_id} {self.at:%Y-%m-%d %H:%M} {self.status}"


class Look(models.Model):
    """One look at one comparison at the end of one day: written once, never recomputed.

    The reported always-valid p-value is the running minimum and the interval the running
    intersection over these rows. `refusal` names why a look gave no inference.
    """

    experiment = models.ForeignKey("experiments.Experiment", on_delete=models.CASCADE, related_name="looks")
    metric = models.ForeignKey("experiments.ExperimentMetric", on_delete=models.CASCADE, related_name="looks")
    arm = models.ForeignKey("experiments.Arm", on_delete=models.CASCADE, related_name="looks")
    day = models.DateField(_("day"))
    seen_at = models.DateTimeField(_("seen at"))
    n_control = models.PositiveBigIntegerField(_("units in control"))
    n_arm = models.PositiveBigIntegerField(_("units in arm"))
    effect = models.FloatField(_("effect"), null=True)
    effect_lower = models.FloatField(null=True)
    effect_upper = models.FloatField(null=True)
    lift = models.FloatField(_("lift"), null=True)
    lift_lower = models.FloatField(null=True)
    lift_upper = models.FloatField(null=True)
    p_value = models.FloatField(_("always-valid p-value"), null=True)
    refusal = models.CharField(_("refusal"), max_length=40, blank=True)

    class Meta:
        verbose_name = _("look")
        verbose_name_plural = _("looks")
        constraints = [
            models.UniqueConstraint(fields=["experiment", "metric", "arm", "day"], name="look_once_a_day"),
            models.CheckConstraint(
                condition=models.Q(p_value__isnull=False, refusal="")
                | (models.Q(p_value__isnull=True) & ~models.Q(refusal="")),
                name="look_has_p_or_refusal",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.experiment_id} {self.day}"


class Refresh(models.Model):
    """Who may refresh an experiment now, and how the last attempt ended."""

    experiment = models.OneToOneField("experiments.Experiment", on_delete=models.CASCADE, related_name="refresh")
    token = models.CharField(_("lock"), max_length=32, blank=True)
    locked_until = models.DateTimeField(_("locked until"), null=True, blank=True)
    attempted_at = models.DateTimeField(_("last attempt"), null=True, blank=True)
    failures_n = models.PositiveIntegerField(_("failures in a row"), default=0)
    error = models.TextField(_("last error"), blank=True)

    class Meta:
        verbose_name = _("refresh")
        verbose_name_plural = _("refreshes")

    def __str__(self) -> str:
        return f"{self.experiment_id}"
