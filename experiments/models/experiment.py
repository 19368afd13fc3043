"""The experiment, its arms, and its phases (immutable regimes of traffic)."""

from __future__ import annotations

import secrets
from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from experiments.choices import ExperimentStatus
from experiments.querysets import ExperimentQuerySet, PhaseQuerySet

SEED_BYTES = 8
"""64 random bits: two experiments never share a seed by chance."""


def new_seed() -> str:
    """A random hash seed. A seed taken from a name would re-randomize everybody at a renaming."""
    return secrets.token_hex(SEED_BYTES)


class Experiment(models.Model):
    key = models.SlugField(_("key"), max_length=100, unique=True)
    name = models.CharField(_("name"), max_length=200)
    hypothesis = models.TextField(_("hypothesis"), blank=True)
    status = models.CharField(
        _("status"), max_length=16, choices=ExperimentStatus.choices, default=ExperimentStatus.DRAFT
    )
    unit_type = models.CharField(_("unit type"), max_length=32, default="profile")
    layer = models.ForeignKey(
        "experiments.Layer",
        on_delete=models.PROTECT,
        related_name="experiments",
        null=True,
        blank=True,
        verbose_name=_("layer"),
    )
    layer_lower = models.FloatField(_("lower bound in the layer"), default=0.0)
    layer_upper = models.FloatField(_("upper bound in the layer"), default=1.0)
    seed = models.CharField(_("seed"), max_length=64, default=new_seed, editable=False)
    facts = models.CharField(_("facts source"), max_length=200, blank=True)
    facts_reference = models.CharField(_("reference in the facts source"), max_length=200, blank=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        related_name="+",
        null=True,
        blank=True,
        verbose_name=_("owner"),
    )
    alpha = models.FloatField(_("alpha"), default=0.05)
    power = models.FloatField(_("power"), default=0.8)
    mde = models.FloatField(_("minimum detectable effect (relative)"), null=True, blank=True)
    planned_size = models.PositiveBigIntegerField(_("planned size"), null=True, blank=True)
    planned_days = models.PositiveIntegerField(_("planned days"), null=True, blank=True)
    plan = models.JSONField(_("plan"), default=dict, blank=True)
    demo_truth = models.JSONField(_("true effects of the demo generator"), null=True, blank=True)
    is_demo = models.BooleanField(_("demo"), default=False)
    created_at = models.DateTimeField(_("created at"))
    started_at = models.DateTimeField(_("started at"), null=True, blank=True)
    paused_at = models.DateTimeField(_("paused at"), null=True, blank=True)
    stopped_at = models.DateTimeField(_("stopped at"), null=True, blank=True)
    decided_at = models.DateTimeField(_("decided at"), null=True, blank=True)
    archived_at = models.DateTimeField(_("archived at"), null=True, blank=True)
    # Counts every change that assignment must see; the configuration cache asks for the sum.
    version = models.PositiveBigIntegerField(_("version"), default=1, editable=False)

    objects = ExperimentQuerySet.as_manager()

    class Meta:
        verbose_name = _("experiment")
        verbose_name_plural = _("experiments")
        permissions = [
            ("launch_experiment", _("Can start, pause and stop experiments")),
            ("decide_experiment", _("Can decide experiments and revert decisions")),
        ]
        constraints = [
            models.CheckConstraint(
                name="experiment_status_known", condition=Q(status__in=[choice.value for choice in ExperimentStatus])
            ),
            models.CheckConstraint(
                name="experiment_layer_range",
                condition=Q(layer_lower__gte=0.0, layer_upper__lte=1.0, layer_lower__lt=F("layer_upper")),
            ),
            models.CheckConstraint(name="experiment_alpha_range", condition=Q(alpha__gt=0.0, alpha__lt=1.0)),
            models.CheckConstraint(name="experiment_power_range", condition=Q(power__gt=0.0, power__lt=1.0)),
            models.CheckConstraint(
                name="experiment_started_unless_draft",
                condition=Q(started_at__isnull=False) | Q(status__in=["draft", "archived"]),
            ),
        ]
        indexes = [models.Index(fields=["status"], name="experiment_status")]

    def __str__(self) -> str:
        return self.name

    @property
    def enrolment_ended_at(self) -> datetime | None:
        """When exposures stopped counting; None while units are taken in, and before the start."""
        match self.status:
            case ExperimentStatus.DRAFT | ExperimentStatus.RUNNING:
                return None
            case ExperimentStatus.PAUSED:
                return self.paused_at
            case _:
                return self.stopped_at or self.decided_at


class Arm(models.Model):
    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="arms")
    key = models.SlugField(_("key"), max_length=64)
    name = models.CharField(_("name"), max_length=200)
    is_control = models.BooleanField(_("control"), default=False)
    payload = models.JSONField(_("payload"), default=dict, blank=True)
    position = models.PositiveSmallIntegerField(_("position"), default=0)

    class Meta:
        verbose_name = _("arm")
        verbose_name_plural = _("arms")
        constraints = [
            models.UniqueConstraint(name="arm_key_unique", fields=["experiment", "key"]),
            models.UniqueConstraint(name="arm_position_unique", fields=["experiment", "position"]),
            models.UniqueConstraint(name="arm_one_control", fields=["experiment"], condition=Q(is_control=True)),
        ]

    def __str__(self) -> str:
        return self.name


class Phase(models.Model):
    """An immutable traffic regime; a new one applies to units first exposed after it starts."""

    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="phases")
    number = models.PositiveIntegerField(_("number"))
    coverage = models.FloatField(_("coverage"), default=1.0)
    targeting = models.JSONField(_("targeting"), default=dict, blank=True)
    started_at = models.DateTimeField(_("started at"), null=True, blank=True)
    ended_at = models.DateTimeField(_("ended at"), null=True, blank=True)

    objects = PhaseQuerySet.as_manager()

    class Meta:
        verbose_name = _("phase")
        verbose_name_plural = _("phases")
        constraints = [
            models.UniqueConstraint(name="phase_number_unique", fields=["experiment", "number"]),
            models.UniqueConstraint(name="phase_one_open", fields=["experiment"], condition=Q(ended_at=None)),
            models.CheckConstraint(name="phase_coverage_range", condition=Q(coverage__gte=0.0, coverage__lte=1.0)),
            models.CheckConstraint(name="phase_number_from_one", condition=Q(number__gte=1)),
        ]

    def __str__(self) -> str:
        return f"{self.experiment_id}/{self.number}"


class PhaseArm(models.Model):
    phase = models.ForeignKey(Phase, on_delete=models.CASCADE, related_name="phase_arms")
    arm = models.ForeignKey(Arm, on_delete=models.CASCADE, related_name="phase_arms")
    weight = models.FloatField(_("weight"))

    class Meta:
        verbose_name = _("weight of an arm")
        verbose_name_plural = _("weights of arms")
        constraints = [
            models.UniqueConstraint(name="phase_arm_unique", fields=["phase", "arm"]),
            models.CheckConstraint(name="phase_arm_weight_range", condition=Q(weight__gte=0.0, weight__lte=1.0)),
        ]

    def __str__(self) -> str:
        return f"{self.phase_id}/{self.arm_id}: {self.weight}"
