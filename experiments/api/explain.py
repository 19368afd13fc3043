"""Explain a unit: every experiment, in or out and why."""

from __future__ import annotations

from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from config.webapi.endpoint import Strict, body_of
from experiments.api.base import VIEW, ExperimentsEndpoint
from experiments.services.explanation import explain_unit


class ExplainIn(Strict):
    unit_type = serializers.CharField(max_length=32, default="profile")
    unit_id = serializers.CharField(max_length=200)
    attributes = serializers.DictField(
        child=serializers.JSONField(allow_null=True),
        default=dict,
        help_text="What the asking code knows besides what is stored.",
    )


class HashCheckOut(serializers.Serializer[Any]):
    name = serializers.CharField()
    bucket = serializers.FloatField()
    lower = serializers.FloatField()
    upper = serializers.FloatField()
    is_inside = serializers.BooleanField()


class PrerequisiteCheckOut(serializers.Serializer[Any]):
    experiment = serializers.CharField(source="experiment_key")
    arm = serializers.CharField(source="arm_key")
    served = serializers.CharField(allow_null=True)
    holds = serializers.BooleanField()


class PhaseCheckOut(serializers.Serializer[Any]):
    number = serializers.IntegerField()
    started_at = serializers.DateTimeField()
    coverage = serializers.FloatField()


class LineOut(serializers.Serializer[Any]):
    depth = serializers.IntegerField()
    kind = serializers.CharField(help_text="`all`, `any`, `not`, or the operator of a condition.")
    attribute = serializers.CharField()
    value = serializers.JSONField(allow_null=True)
    actual = serializers.JSONField(allow_null=True)
    holds = serializers.BooleanField()


class SeenOut(serializers.Serializer[Any]):
    arm = serializers.CharField(source="arm_key")
    phase = serializers.IntegerField()
    seen_at = serializers.DateTimeField()


class ExplanationOut(serializers.Serializer[Any]):
    """One experiment seen from one unit: in or out, and why."""

    experiment = serializers.CharField(source="experiment_key")
    status = serializers.CharField()
    is_in = serializers.BooleanField(source="assignment.is_in")
    arm = serializers.CharField(source="assignment.arm_key", allow_null=True)
    bucket = serializers.FloatField(source="assignment.bucket", allow_null=True)
    reason = serializers.CharField(source="assignment.reason")
    phase = PhaseCheckOut(allow_null=True)
    layer = HashCheckOut(allow_null=True)
    holdouts = HashCheckOut(many=True)
    prerequisites = PrerequisiteCheckOut(many=True)
    targeting = LineOut(many=True, help_text="The rule, line by line.")
    arms = HashCheckOut(many=True)
    exposures = SeenOut(many=True)
    is_quarantined = serializers.BooleanField(help_text="Seen in two arms: counted in neither.")


class Explain(ExperimentsEndpoint):
    permissions: ClassVar = {"POST": VIEW}

    @extend_schema(request=ExplainIn, responses={200: ExplanationOut(many=True)})
    def post(self, request: Request) -> Response:
        """Explain a unit: every experiment of its kind, in or out and why, rule by rule.

        By POST: ids of people do not belong into addresses and their logs.
        """
        found = explain_unit(at=timezone.now(), **body_of(request, ExplainIn))
        return Response(ExplanationOut(found, many=True).data)
