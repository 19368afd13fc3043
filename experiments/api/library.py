"""What experiments share: metrics, holdouts, and the log of changes."""

from __future__ import annotations

from typing import ClassVar

from django.core.exceptions import ValidationError as InvalidModel
from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from config.webapi.endpoint import actor_of, body_of, query_of
from config.webapi.idempotency import idempotent
from config.webapi.pages import page_of
from config.webapi.schema import page_schema
from config.webapi.serializers import ChangeOut
from experiments.api.base import CHANGE, DECIDE, VIEW, ExperimentsEndpoint
from experiments.api.serializers import (
    ChangeQuery,
    HoldoutIn,
    HoldoutOut,
    HoldoutQuery,
    MetricIn,
    MetricOut,
    MetricQuery,
)
from experiments.ports import decode_definition
from experiments.selectors.records import changes, get_metric, holdouts, metrics
from experiments.services.holdout import set_holdout
from experiments.services.metrics import MetricDraft, draft_metric, publish_metric


class MetricList(ExperimentsEndpoint):
    permissions: ClassVar = {"GET": VIEW, "POST": CHANGE}

    @extend_schema(parameters=[MetricQuery], responses={200: page_schema(MetricOut)})
    def get(self, request: Request) -> Response:
        """List the metrics in their current versions."""
        query = query_of(request, MetricQuery)
        rows = metrics(kind=query.get("kind", ""))
        return page_of(request, rows, query, lambda found: MetricOut(found, many=True).data)

    @extend_schema(request=MetricIn, responses={201: MetricOut})
    @idempotent
    def post(self, request: Request) -> Response:
        """Draft a metric, or the next version of one; `publish/` lets experiments use it.

        There is one draft of a metric. Experiments keep the version that they were planned with.
        """
        values = body_of(request, MetricIn)
        try:
            definition, tags = decode_definition(values.pop("definition")), tuple(values.pop("tags"))
            metric = draft_metric(draft=MetricDraft(**values, definition=definition, tags=tags))
        except (ValueError, TypeError) as error:
            raise ValidationError({"definition": [f"It cannot be read: {error}."]}) from error
        except InvalidModel as error:
            raise ValidationError(error.message_dict) from error
        return Response(MetricOut(metric).data, status=status.HTTP_201_CREATED)


class MetricDetail(ExperimentsEndpoint):
    permissions: ClassVar = {"GET": VIEW}

    @extend_schema(responses={200: MetricOut})
    def get(self, request: Request, key: str) -> Response:
        """Show one metric with its definition."""
        metric = get_metric(key=key)
        if metric is None:
            raise Http404(f"There is no metric {key!r}.")
        return Response(MetricOut(metric).data)


class MetricPublish(ExperimentsEndpoint):
    permissions: ClassVar = {"POST": CHANGE}

    @extend_schema(request=None, responses={200: MetricOut})
    def post(self, request: Request, key: str) -> Response:
        """Let experiments use the draft: it becomes the current version."""
        return Response(MetricOut(publish_metric(key=key)).data)


class HoldoutList(ExperimentsEndpoint):
    permissions: ClassVar = {"GET": VIEW, "POST": DECIDE}

    @extend_schema(parameters=[HoldoutQuery], responses={200: page_schema(HoldoutOut)})
    def get(self, request: Request) -> Response:
        """List every version of every holdout, the closed ones too."""
        query = query_of(request, HoldoutQuery)
        rows = holdouts(unit_type=query.get("unit_type", ""))
        return page_of(request, rows, query, lambda found: HoldoutOut(found, many=True).data)

    @extend_schema(request=HoldoutIn, responses={201: HoldoutOut})
    @idempotent
    def post(self, request: Request) -> Response:
        """Hold out a share of the units from now on; 0 ends the holdout."""
        made = set_holdout(at=timezone.now(), actor=actor_of(request), **body_of(request, HoldoutIn))
        return Response(HoldoutOut(made).data, status=status.HTTP_201_CREATED)


class ChangeList(ExperimentsEndpoint):
    permissions: ClassVar = {"GET": VIEW}

    @extend_schema(parameters=[ChangeQuery], responses={200: page_schema(ChangeOut)})
    def get(self, request: Request) -> Response:
        """List who changed which experiment or holdout, when and why."""
        query = query_of(request, ChangeQuery)
        rows = changes(experiment=query.get("experiment", ""))
        return page_of(request, rows, query, lambda found: ChangeOut(found, many=True).data)
