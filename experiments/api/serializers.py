"""What the endpoints of experiments take and show."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from config.webapi.endpoint import Strict
from config.webapi.pages import PageQuery, ordering
from config.webapi.schema import schema_of
from experiments.choices import DecisionOutcome, ExperimentStatus
from experiments.models import ExperimentMetric, Metric
from experiments.reports import ExperimentReport

LONGEST_TEXT = 5_000
MOST_ARMS = 20
MOST_METRICS = 50
MOST_STEPS = 20
LONGEST_TAG = 40
LARGEST_NUMBER = 10**12
LONGEST_DAYS = 3_650


@extend_schema_field(schema_of(ExperimentReport))
class ReportField(serializers.JSONField):
    """The stored report, as `experiments.reports` has it."""


class SlugText(serializers.RegexField):
    """A key: letters, digits, hyphens and underscores."""

    def __init__(self, **options: Any) -> None:
        super().__init__(r"^[-a-zA-Z0-9_]+\Z", **options)


class ArmIn(Strict):
    key = SlugText(max_length=64)
    name = serializers.CharField(max_length=200)
    weight = serializers.FloatField(min_value=0.0, max_value=1.0)
    is_control = serializers.BooleanField(default=False)
    payload = serializers.JSONField(default=dict, help_text="What clients get as the flag's value.")


class MetricUseIn(Strict):
    key = SlugText(max_length=80)
    role = serializers.ChoiceField(ExperimentMetric.Role.choices)
    margin = serializers.FloatField(
        min_value=0.0, max_value=1.0, allow_null=True, default=None, help_text="Guardrails: the harm still acceptable."
    )
    window_hours = serializers.IntegerField(min_value=1, max_value=87_600, allow_null=True, default=None)
    ceiling = serializers.FloatField(
        min_value=0.0,
        max_value=1.0,
        allow_null=True,
        default=None,
        help_text="Guardrails that the control cannot have: the highest rate still acceptable.",
    )


class RampStepIn(Strict):
    hours = serializers.FloatField(min_value=0.0, max_value=87_600.0, help_text="After the phase's start.")
    coverage = serializers.FloatField(min_value=0.0, max_value=1.0)


class RequirementIn(Strict):
    """Only units that another experiment serves this arm."""

    experiment_key = SlugText(max_length=100)
    arm_key = SlugText(max_length=64)


class DesignIn(Strict):
    """The design of a draft. What a launch needs besides is the checklist's matter."""

    key = SlugText(max_length=100)
    name = serializers.CharField(max_length=200)
    hypothesis = serializers.CharField(max_length=LONGEST_TEXT, allow_blank=True, required=False)
    unit_type = SlugText(max_length=32, required=False)
    arms = serializers.ListField(child=ArmIn(), required=False, max_length=MOST_ARMS)
    metrics = serializers.ListField(child=MetricUseIn(), required=False, max_length=MOST_METRICS)
    layer_key = serializers.CharField(max_length=100, allow_blank=True, required=False)
    layer_lower = serializers.FloatField(min_value=0.0, max_value=1.0, required=False)
    layer_upper = serializers.FloatField(min_value=0.0, max_value=1.0, required=False)
    coverage = serializers.FloatField(min_value=0.0, max_value=1.0, required=False)
    ramp = serializers.ListField(child=RampStepIn(), required=False, max_length=MOST_STEPS)
    requires = serializers.ListField(child=RequirementIn(), required=False, max_length=MOST_STEPS)
    targeting = serializers.DictField(required=False, help_text="A rule; {} is everyone.")
    alpha = serializers.FloatField(min_value=0.0001, max_value=0.5, required=False)
    power = serializers.FloatField(min_value=0.5, max_value=0.999, required=False)
    mde = serializers.FloatField(min_value=0.0, max_value=100.0, allow_null=True, required=False)
    planned_size = serializers.IntegerField(min_value=1, max_value=LARGEST_NUMBER, allow_null=True, required=False)
    planned_days = serializers.IntegerField(min_value=1, max_value=LONGEST_DAYS, allow_null=True, required=False)


class DesignChange(DesignIn):
    """The fields to change; a list replaces the list. The key stays."""

    key = None  # type: ignore[assignment] # takes the inherited field away


class ArmOut(ArmIn):
    """An arm with its weight in the first phase."""


class MetricUseOut(MetricUseIn):
    """A metric with its part in the experiment."""


class RampStepOut(RampStepIn):
    """One step of the first phase's ramp."""


class RequirementOut(RequirementIn):
    """What another experiment must serve."""


class PhaseOut(serializers.Serializer[Any]):
    number = serializers.IntegerField()
    coverage = serializers.FloatField()
    targeting = serializers.JSONField()
    weights = serializers.DictField(child=serializers.FloatField())
    started_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)


class DecisionOut(serializers.Serializer[Any]):
    outcome = serializers.ChoiceField(DecisionOutcome.choices)
    arm = serializers.CharField(source="arm.key", allow_null=True, default=None)
    holdback = serializers.FloatField()
    reason = serializers.CharField()
    at = serializers.DateTimeField()
    by = serializers.CharField(source="by.username", allow_null=True, default=None)
    reverted_at = serializers.DateTimeField(allow_null=True)


class ExperimentRowOut(serializers.Serializer[Any]):
    key = serializers.CharField()
    name = serializers.CharField()
    status = serializers.ChoiceField(ExperimentStatus.choices)
    unit_type = serializers.CharField()
    owner = serializers.CharField(source="owner.username", allow_null=True, default=None)
    is_demo = serializers.BooleanField()
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    stopped_at = serializers.DateTimeField(allow_null=True)
    decided_at = serializers.DateTimeField(allow_null=True)


class ExperimentOut(ExperimentRowOut):
    hypothesis = serializers.CharField()
    layer_key = serializers.CharField()
    layer_lower = serializers.FloatField()
    layer_upper = serializers.FloatField()
    alpha = serializers.FloatField()
    power = serializers.FloatField()
    mde = serializers.FloatField(allow_null=True)
    planned_size = serializers.IntegerField(allow_null=True)
    planned_days = serializers.IntegerField(allow_null=True)
    arms = ArmOut(many=True)
    metrics = MetricUseOut(many=True)
    ramp = RampStepOut(many=True)
    requires = RequirementOut(many=True)
    phases = PhaseOut(many=True)
    decisions = DecisionOut(many=True)
    transitions = serializers.ListField(child=serializers.CharField(), help_text="What is possible now.")
    left_out_of_payload = serializers.CharField(
        allow_null=True, help_text="Why clients that evaluate by themselves do not get it; null where they do."
    )


class ExperimentQuery(PageQuery):
    ordering = ordering("-created_at", "created_at", "key", "-key", "name", "-name")
    status = serializers.ChoiceField(ExperimentStatus.choices, required=False)
    unit_type = serializers.CharField(max_length=32, required=False)
    search = serializers.CharField(max_length=100, required=False, help_text="Part of the key or the name.")


class DecisionIn(Strict):
    outcome = serializers.ChoiceField(DecisionOutcome.choices)
    reason = serializers.CharField(max_length=LONGEST_TEXT)
    arm_key = serializers.CharField(max_length=64, allow_blank=True, default="")
    holdback = serializers.FloatField(min_value=0.0, max_value=0.99, default=0.0)


class PhaseIn(Strict):
    """What changes from now on; what is left out stays."""

    weights = serializers.DictField(child=serializers.FloatField(min_value=0.0, max_value=1.0), required=False)
    coverage = serializers.FloatField(min_value=0.0, max_value=1.0, required=False)
    targeting = serializers.DictField(required=False)
    message = serializers.CharField(max_length=LONGEST_TEXT, allow_blank=True, default="")


class ReasonOut(serializers.Serializer[Any]):
    code = serializers.CharField()
    text = serializers.CharField(source="__str__")


class ChecklistItemOut(serializers.Serializer[Any]):
    code = serializers.CharField()
    title = serializers.CharField(source="label")
    is_done = serializers.BooleanField()
    reasons = ReasonOut(many=True)


class ResultsOut(serializers.Serializer[Any]):
    refreshed_at = serializers.DateTimeField(allow_null=True)
    is_frozen = serializers.BooleanField()
    failures_n = serializers.IntegerField()
    error = serializers.CharField(allow_blank=True)
    report = ReportField(allow_null=True)


class TableOut(serializers.Serializer[Any]):
    columns = serializers.DictField(child=serializers.CharField())
    rows = serializers.ListField(child=serializers.ListField(child=serializers.JSONField(allow_null=True)))


class TableQuery(Strict):
    format = serializers.ChoiceField(["json", "csv", "parquet"], default="json")


class SnapshotOut(serializers.Serializer[Any]):
    id = serializers.IntegerField(source="pk")
    at = serializers.DateTimeField()
    status = serializers.CharField()
    is_current = serializers.BooleanField()
    is_frozen = serializers.BooleanField()
    engine_version = serializers.CharField()
    fingerprint = serializers.CharField()
    row_counts = serializers.JSONField()
    duration_ms = serializers.IntegerField()
    error = serializers.CharField()


class SnapshotDetailOut(SnapshotOut):
    report = ReportField(allow_null=True)
    sql = serializers.CharField()


class SnapshotQuery(PageQuery):
    ordering = ordering("-at", "at")


class MetricOut(serializers.Serializer[Any]):
    key = serializers.CharField()
    version = serializers.IntegerField()
    name = serializers.CharField()
    description = serializers.CharField()
    kind = serializers.ChoiceField(Metric.Kind.choices)
    direction = serializers.ChoiceField(Metric.Direction.choices)
    unit = serializers.ChoiceField(Metric.Unit.choices)
    definition = serializers.JSONField()
    tags = serializers.ListField(child=serializers.CharField())
    is_builtin = serializers.BooleanField()
    is_draft = serializers.BooleanField()


class MetricQuery(PageQuery):
    ordering = ordering("key", "-key", "name", "-name")
    kind = serializers.ChoiceField(Metric.Kind.choices, required=False)


class MetricIn(Strict):
    key = SlugText(max_length=80)
    name = serializers.CharField(max_length=120)
    description = serializers.CharField(max_length=LONGEST_TEXT, allow_blank=True, default="")
    kind = serializers.ChoiceField(Metric.Kind.choices)
    direction = serializers.ChoiceField(Metric.Direction.choices, default=Metric.Direction.UP)
    unit = serializers.ChoiceField(Metric.Unit.choices, default=Metric.Unit.NUMBER)
    definition = serializers.DictField(help_text="As docs/metrics.md describes it.")
    tags = serializers.ListField(
        child=serializers.CharField(max_length=LONGEST_TAG), default=list, max_length=MOST_STEPS
    )


class HoldoutOut(serializers.Serializer[Any]):
    layer_key = serializers.CharField(source="layer.key", allow_null=True, default=None)
    unit_type = serializers.CharField()
    number = serializers.IntegerField()
    share = serializers.FloatField()
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField(allow_null=True)


class HoldoutQuery(PageQuery):
    ordering = ordering("-starts_at", "starts_at")
    unit_type = serializers.CharField(max_length=32, required=False)


class HoldoutIn(Strict):
    share = serializers.FloatField(min_value=0.0, max_value=0.99)
    layer_key = serializers.CharField(max_length=100, allow_blank=True, default="")
    unit_type = SlugText(max_length=32, default="profile")
    is_redrawn = serializers.BooleanField(default=False)
    message = serializers.CharField(max_length=LONGEST_TEXT, allow_blank=True, default="")


class ChangeQuery(PageQuery):
    ordering = ordering("-pk", "pk")
    experiment = serializers.CharField(max_length=100, required=False, help_text="Only of the experiment of this key.")
