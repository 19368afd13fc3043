"""The schema, the page that documents it, and the answer where there is nothing."""

from __future__ import annotations

import functools
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.views import APIView

from config.webapi.errors import KINDS
from config.webapi.schema import operations_by_tag, shapes


@functools.cache
def _schema() -> dict[str, Any]:
    """One per process: it depends on the code only."""
    schema: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call] # untyped library
    return schema


@require_safe
def schema(request: HttpRequest) -> HttpResponse:
    """The OpenAPI schema; it says nothing about the data, so that it needs no key."""
    return JsonResponse(_schema(), json_dumps_params={"indent": 1})


@require_safe
def documentation(request: HttpRequest) -> HttpResponse:
    """The schema for people: no script, no other host."""
    context = {
        "schema": _schema(),
        "tags": operations_by_tag(_schema()),
        "shapes": shapes(_schema()),
        "problems": KINDS,
    }
    return render(request, "webapi/documentation.html", context)


class Nothing(APIView):
    """Every other address below the API's: a problem document like any other error."""

    schema = None
    permission_classes = ()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Whatever the method, key and body."""
        raise NotFound("There is nothing at this address.")
