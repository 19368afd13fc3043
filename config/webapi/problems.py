"""The border: every exception of a view becomes a problem document, or goes on to be a 500."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.http import Http404, HttpRequest
from rest_framework import exceptions
from rest_framework.response import Response

from config.webapi.errors import FORBIDDEN, INVALID, KINDS, NOT_FOUND, TOO_LARGE, Flaw, Kind, Problem

CONTENT_TYPE: Final = "application/problem+json"
DOCUMENTATION: Final = "/api/v1/docs/"
_BY_STATUS: Final = {kind.status: kind for kind in KINDS}

Border = Mapping[type[Exception], Kind]
"""An app's errors and the kind of problem that each of them is."""


def translated(error: Exception, border: Border) -> Exception:
    """An app's error as a problem; any other error as it is. The reasons that the error carries become its flaws."""
    for known, kind in border.items():
        if isinstance(error, known):
            reasons = getattr(error, "reasons", ())
            flaws = [Flaw("", getattr(reason, "code", "reason"), str(reason)) for reason in reasons]
            return Problem(kind, str(error), flaws)
    return error


def handle(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """`EXCEPTION_HANDLER`: a problem document for what is the caller's matter; None for what is ours, a 500."""
    problem = _problem(error)
    if problem is None:
        return None
    headers = {}
    if getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = str(error.auth_header)  # type: ignore[attr-defined] # set by APIView
    if getattr(error, "wait", None) is not None:
        headers["Retry-After"] = str(math.ceil(error.wait))  # type: ignore[attr-defined] # of Throttled
    return Response(
        document(problem, context["request"]),
        status=problem.kind.status,
        headers=headers,
        content_type=CONTENT_TYPE,
    )


def document(problem: Problem, request: HttpRequest) -> dict[str, Any]:
    """The body of a problem."""
    return {
        "type": f"{DOCUMENTATION}#{problem.kind.slug}",
        "title": problem.kind.title,
        "status": problem.kind.status,
        "detail": str(problem.detail),
        "remedy": problem.kind.remedy,
        "instance": request.path,
        "errors": [{"pointer": flaw.pointer, "code": flaw.code, "detail": flaw.detail} for flaw in problem.flaws],
    }


def _problem(error: Exception) -> Problem | None:
    match error:
        case Problem():
            return error
        case Http404():
            return Problem(NOT_FOUND, str(error) or "There is nothing at this address.")
        case PermissionDenied():
            return Problem(FORBIDDEN, str(error) or "This is not allowed.")
        case RequestDataTooBig():
            return Problem(TOO_LARGE, str(error))
        case exceptions.ValidationError():
            flaws = list(_flaws(error.detail))
            said = "; ".join(f"{flaw.pointer or 'the request'}: {flaw.detail}" for flaw in flaws)
            return Problem(INVALID, said, flaws)
        case exceptions.APIException():
            return Problem(_BY_STATUS.get(error.status_code, INVALID), str(error.detail))
        case _:
            return None


def _flaws(detail: Any, pointer: str = "") -> Iterator[Flaw]:
    """The messages of nested serializers, flat: `/arms/0/weight`."""
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            yield from _flaws(inner, pointer if name == "non_field_errors" else f"{pointer}/{name}")
    elif isinstance(detail, list):
        is_leaf = all(isinstance(inner, exceptions.ErrorDetail) for inner in detail)
        for position, inner in enumerate(detail):
            yield from _flaws(inner, pointer if is_leaf else f"{pointer}/{position}")
    else:
        yield Flaw(pointer, getattr(detail, "code", "invalid"), str(detail))
