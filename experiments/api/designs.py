"""Experiments: listed, shown, made and changed while they are drafts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any, ClassVar, Final

from django.urls import reverse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from config.webapi.endpoint import actor_of, body_of, query_of
from config.webapi.idempotency import idempotent
from config.webapi.pages import page_of
from config.webapi.schema import page_schema
from experiments.api.base import ADD, CHANGE, VIEW, ExperimentsEndpoint
from experiments.api.serializers import (
    ArmOut,
    ChecklistItemOut,
    DecisionOut,
    DesignChange,
    DesignIn,
    ExperimentOut,
    ExperimentQuery,
    ExperimentRowOut,
    MetricUseOut,
    PhaseOut,
    RequirementOut,
)
from experiments.selectors import left_out_reason
from experiments.selectors.records import decisions_of, experiments, get_record, phases_of, weights_of
from experiments.services.design import ArmSpec, Design, MetricSpec, Requirement, create_experiment, design_of, revise
from experiments.services.lifecycle import checklist, possible_transitions
from experiments.services.ramp import RampSpec


class ExperimentList(ExperimentsEndpoint):
    permissions: ClassVar = {"GET": VIEW, "POST": ADD}

    @extend_schema(parameters=[ExperimentQuery], responses={200: page_schema(ExperimentRowOut)})
    def get(self, request: Request) -> Response:
        """List experiments."""
        query = query_of(request, ExperimentQuery)
        filters = {name: query[name] for name in ("status", "unit_type", "search") if name in query}
        return page_of(request, experiments(**filters), query, lambda rows: ExperimentRowOut(rows, many=True).data)

    @extend_schema(request=DesignIn, responses={201: ExperimentOut})
    @idempotent
    def post(self, request: Request) -> Response:
        """Make a draft.

        It assigns nobody; `transitions/start/` launches it once its checklist is done.
        """
        design = _design(body_of(request, DesignIn))
        made = create_experiment(design=design, at=timezone.now(), actor=actor_of(request))
        where = reverse("experiments-api:experiment", kwargs={"key": made.key})
        headers = {"Location": request.build_absolute_uri(where)}
        return Response(shown(made.key), status=status.HTTP_201_CREATED, headers=headers)


class ExperimentDetail(ExperimentsEndpoint):
    permissions: ClassVar = {"GET": VIEW, "PATCH": CHANGE}

    @extend_schema(responses={200: ExperimentOut})
    def get(self, request: Request, key: str) -> Response:
        """Show one experiment with its design, phases and decisions."""
        return Response(shown(key))

    @extend_schema(request=DesignChange, responses={200: ExperimentOut})
    def patch(self, request: Request, key: str) -> Response:
        """Change a draft.

        A list in the body replaces the list; what is left out stays.
        """
        changes = body_of(request, DesignChange, partial=True)
        base = design_of(experiment_key=key)
        revise(experiment_key=key, design=_design(changes, base), at=timezone.now(), actor=actor_of(request))
        return Response(shown(key))


class Checklist(ExperimentsEndpoint):
    permissions: ClassVar = {"GET": VIEW}

    @extend_schema(responses={200: ChecklistItemOut(many=True)})
    def get(self, request: Request, key: str) -> Response:
        """Tell what a launch needs, point by point."""
        return Response(ChecklistItemOut(checklist(experiment_key=key), many=True).data)


_COLUMNS: Final = (
    "hypothesis", "layer_key", "layer_lower", "layer_upper", "alpha", "power", "mde", "planned_size", "planned_days"
)  # fmt: skip


def _design(values: Mapping[str, Any], base: Design | None = None) -> Design:
    parts = dict(values)
    if "arms" in parts:
        parts["arms"] = tuple(ArmSpec(**arm) for arm in parts["arms"])
    if "metrics" in parts:
        parts["metrics"] = tuple(MetricSpec(**metric) for metric in parts["metrics"])
    if "ramp" in parts:
        parts["ramp"] = tuple(RampSpec(timedelta(hours=step["hours"]), step["coverage"]) for step in parts["ramp"])
    if "requires" in parts:
        parts["requires"] = tuple(Requirement(**one) for one in parts["requires"])
    return Design(**parts) if base is None else replace(base, **parts)


def shown(key: str) -> dict[str, Any]:
    """An experiment as JSON."""
    experiment = get_record(key=key)
    left_out = None if experiment.started_at is None else left_out_reason(experiment_key=key, at=timezone.now())
    plan = design_of(experiment_key=key)
    design = asdict(plan)
    phases = [
        {
            "number": phase.number,
            "coverage": phase.coverage,
            "targeting": phase.targeting,
            "weights": weights_of(phase),
            "started_at": phase.started_at,
            "ended_at": phase.ended_at,
        }
        for phase in phases_of(experiment)
    ]
    return {
        **ExperimentRowOut(experiment).data,
        **{name: design[name] for name in _COLUMNS},
        "arms": ArmOut(design["arms"], many=True).data,
        "metrics": MetricUseOut(design["metrics"], many=True).data,
        "ramp": [{"hours": step.after / timedelta(hours=1), "coverage": step.coverage} for step in plan.ramp],
        "requires": RequirementOut(design["requires"], many=True).data,
        "phases": PhaseOut(phases, many=True).data,
        "decisions": DecisionOut(decisions_of(experiment), many=True).data,
        "transitions": [rule.name for rule in possible_transitions(experiment)],
        "left_out_of_payload": None if left_out is None else str(left_out),
    }
