"""What changes an experiment's state: launched, paused, stopped, decided, refreshed."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

from django.db import transaction
from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from config.webapi.endpoint import actor_of, body_of
from config.webapi.idempotency import idempotent
from config.webapi.serializers import MessageIn
from experiments.api.base import DECIDE, LAUNCH, VIEW, ExperimentsEndpoint
from experiments.api.designs import shown
from experiments.api.serializers import DecisionIn, ExperimentOut, PhaseIn
from experiments.models import Experiment
from experiments.selectors.records import get_record
from experiments.services import decision, lifecycle
from experiments.tasks import refresh_experiment

SERVICES: Final[dict[str, Callable[..., Experiment]]] = {
    "start": lifecycle.start,
    "pause": lifecycle.pause,
    "resume": lifecycle.resume,
    "stop": lifecycle.stop,
    "emergency_stop": lifecycle.emergency_stop,
    "archive": lifecycle.archive,
}


class Transition(ExperimentsEndpoint):
    permissions: ClassVar = {"POST": LAUNCH}

    @extend_schema(
        parameters=[OpenApiParameter("name", str, OpenApiParameter.PATH, enum=tuple(SERVICES))],
        request=MessageIn,
        responses={200: ExperimentOut},
    )
    def post(self, request: Request, key: str, name: str) -> Response:
        """Start, pause, resume, stop or archive.

        A 409 carries the reasons against it, one of `errors` each.
        """
        if name not in SERVICES:
            raise Http404(f"There is no transition {name!r}. There are: {', '.join(SERVICES)}.")
        values = body_of(request, MessageIn)
        SERVICES[name](experiment_key=key, at=timezone.now(), actor=actor_of(request), **values)
        return Response(shown(key))


class Phases(ExperimentsEndpoint):
    permissions: ClassVar = {"POST": LAUNCH}

    @extend_schema(request=PhaseIn, responses={200: ExperimentOut})
    def post(self, request: Request, key: str) -> Response:
        """Change weights, coverage or targeting from now on, as a new phase.

        Nobody who was exposed changes arm.
        """
        lifecycle.open_phase(
            experiment_key=key, at=timezone.now(), actor=actor_of(request), **body_of(request, PhaseIn)
        )
        return Response(shown(key))


class Decide(ExperimentsEndpoint):
    permissions: ClassVar = {"POST": DECIDE}

    @extend_schema(request=DecisionIn, responses={200: ExperimentOut})
    @idempotent
    def post(self, request: Request, key: str) -> Response:
        """Ship, stop, continue or end undecided, with a reason."""
        decision.decide(experiment_key=key, at=timezone.now(), actor=actor_of(request), **body_of(request, DecisionIn))
        return Response(shown(key))


class Revert(ExperimentsEndpoint):
    permissions: ClassVar = {"POST": DECIDE}

    @extend_schema(request=MessageIn, responses={200: ExperimentOut})
    def post(self, request: Request, key: str) -> Response:
        """Take the standing decision back."""
        decision.revert(experiment_key=key, at=timezone.now(), actor=actor_of(request), **body_of(request, MessageIn))
        return Response(shown(key))


class Refresh(ExperimentsEndpoint):
    permissions: ClassVar = {"POST": VIEW}

    @extend_schema(request=None, responses={202: None})
    def post(self, request: Request, key: str) -> Response:
        """Ask the worker for new results; `results/` has them once they are there."""
        experiment = get_record(key=key)
        transaction.on_commit(lambda: refresh_experiment.delay(experiment.pk), robust=True)
        return Response(status=status.HTTP_202_ACCEPTED)
