"""What is measured: metrics as versioned data, and the part each plays in an experiment."""

from __future__ import annotations

from typing import Final

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from experiments.ports import MetricDefinition, check_kind, decode_definition

LONGEST_TAG: Final = 40


def validate_definition(value: object) -> None:
    """Refuse a JSON column that the decoder of its schema version would refuse."""
    try:
        decode_definition(value if isinstance(value, dict) else {})
    except (ValueError, TypeError) as error:
        raise ValidationError(_("The definition cannot be read: %(error)s"), params={"error": error}) from error


def validate_tags(value: object) -> None:
    """Tags are a list of short texts."""
    is_list = isinstance(value, list) and all(isinstance(tag, str) and 0 < len(tag) <= LONGEST_TAG for tag in value)
    if not is_list:
        raise ValidationError(
            _("Tags are a list of texts of at most %(most)s characters."), params={"most": LONGEST_TAG}
        )


class Metric(models.Model):
    """How events become one number per exposed unit."""

    class Kind(models.TextChoices):
        PROPORTION = "proportion", _("proportion: share of units with at least one event")
        MEAN = "mean", _("mean: summed value per unit")
        COUNT = "count", _("count: number of events per unit")
        RATIO = "ratio", _("ratio: one number divided by another")
        QUANTILE = "quantile", _("quantile: the value below which a share of them lies")
        RETENTION = "retention", _("retention: share of units that came back on a later day")
        FUNNEL = "funnel", _("funnel step: share of units that took the steps in this order")

    class Direction(models.TextChoices):
        UP = "up", _("higher is better")
        DOWN = "down", _("lower is better")

    class Unit(models.TextChoices):
        SHARE = "share", _("share of units")
        MONEY = "money", _("money in the reporting currency")
        NUMBER = "number", _("plain number")

    key = models.SlugField(_("key"), max_length=80)
    version = models.PositiveIntegerField(_("version"), default=1)
    name = models.CharField(_("name"), max_length=120)
    description = models.TextField(_("description"), blank=True)
    kind = models.CharField(_("kind"), max_length=12, choices=Kind.choices)
    direction = models.CharField(_("direction"), max_length=4, choices=Direction.choices, default=Direction.UP)
    unit = models.CharField(_("unit of value"), max_length=8, choices=Unit.choices, default=Unit.NUMBER)
    definition = models.JSONField(_("definition"), validators=[validate_definition])
    tags = models.JSONField(_("tags"), default=list, blank=True, validators=[validate_tags])
    is_draft = models.BooleanField(
        _("draft"), default=False, help_text=_("Can be tried on the demo world, but not used by an experiment yet.")
    )
    is_builtin = models.BooleanField(_("built in"), default=False)
    is_current = models.BooleanField(_("current version"), default=True)

    class Meta:
        verbose_name = _("metric")
        verbose_name_plural = _("metrics")
        constraints = [
            models.UniqueConstraint(fields=["key", "version"], name="metric_key_version"),
            models.UniqueConstraint(fields=["key"], condition=models.Q(is_current=True), name="metric_current_key"),
            models.UniqueConstraint(fields=["key"], condition=models.Q(is_draft=True), name="metric_one_draft"),
            models.CheckConstraint(
                condition=models.Q(is_draft=False) | models.Q(is_current=False), name="metric_draft_is_not_current"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse a definition that does not give what the kind needs."""
        super().clean()
        try:
            check_kind(self.kind, self.decoded())
        except (ValueError, TypeError, AttributeError) as error:
            raise ValidationError({"kind": str(error)}) from error

    def decoded(self) -> MetricDefinition:
        """The definition as the analysis reads it."""
        return decode_definition(self.definition)


class ExperimentMetric(models.Model):
    """A metric's part in one experiment."""

    class Role(models.TextChoices):
        PRIMARY = "primary", _("primary: decides")
        SECONDARY = "secondary", _("secondary: explains")
        GUARDRAIL = "guardrail", _("guardrail: must not be harmed")

    experiment = models.ForeignKey("experiments.Experiment", on_delete=models.CASCADE, related_name="metrics")
    metric = models.ForeignKey(Metric, on_delete=models.PROTECT, related_name="uses")
    role = models.CharField(_("role"), max_length=9, choices=Role.choices)
    margin = models.FloatField(
        _("margin"),
        null=True,
        blank=True,
        validators=[MinValueValidator(0.0)],
        help_text=_("Guardrails: the largest relative harm that is still acceptable, for example 0.02."),
    )
    ceiling = models.FloatField(
        _("ceiling"),
        null=True,
        blank=True,
        help_text=_("Guardrails that the control cannot have: the highest rate of a treated arm that is acceptable."),
    )
    window_hours = models.PositiveIntegerField(
        _("window in hours"), null=True, blank=True, help_text=_("Empty: the metric's own window.")
    )

    class Meta:
        verbose_name = _("experiment's metric")
        verbose_name_plural = _("experiments' metrics")
        constraints = [
            models.UniqueConstraint(fields=["experiment", "metric"], name="experiment_metric_once"),
            models.UniqueConstraint(
                fields=["experiment"], condition=models.Q(role="primary"), name="experiment_one_primary"
            ),
            models.CheckConstraint(
                condition=models.Q(margin__isnull=True) | models.Q(role="guardrail", margin__gte=0),
                name="experiment_metric_margin_of_guardrail",
            ),
            models.CheckConstraint(
                condition=models.Q(ceiling__isnull=True)
                | models.Q(role="guardrail", margin__isnull=True, ceiling__gt=0, ceiling__lt=1),
                name="experiment_metric_ceiling_of_guardrail",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.metric_id} ({self.role})"
