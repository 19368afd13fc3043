"""OpenAPI: what drf-spectacular cannot see by itself (problems, idempotency keys, dataclasses), said once for all."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal

from django.utils.text import capfirst
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, inline_serializer
from rest_framework import serializers

from config.webapi.errors import (
    CONFLICT,
    FORBIDDEN,
    INVALID,
    MEDIA_TYPE,
    METHOD,
    NOT_FOUND,
    REFUSED,
    TOO_LARGE,
    TOO_MANY,
    UNAUTHENTICATED,
    Kind,
)
from config.webapi.idempotency import HEADER, MARK
from config.webapi.models import KEY_LENGTH
from config.webapi.problems import CONTENT_TYPE

ALWAYS: Final = (INVALID, UNAUTHENTICATED, FORBIDDEN, NOT_FOUND, METHOD, TOO_MANY)
WRITING: Final = (CONFLICT, TOO_LARGE, MEDIA_TYPE, REFUSED)
PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "description": "RFC 9457: what is wrong, and what the caller can do about it.",
    "required": ["type", "title", "status", "detail", "remedy", "instance", "errors"],
    "properties": {
        "type": {"type": "string", "description": "The kind, as an address of the documentation."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "The thing, the value and what is wrong with it."},
        "remedy": {"type": "string"},
        "instance": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "code", "detail"],
                "properties": {
                    "pointer": {"type": "string", "description": "Into the body, `/arms/0/weight`, or a parameter."},
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}
_SCALARS: Final[dict[Any, dict[str, Any]]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    datetime: {"type": "string", "format": "date-time"},
    Any: {},
}


class EndpointSchema(AutoSchema):
    """Operations are named by what they do (`summary` is the docstring's first line)."""

    def get_override_parameters(self) -> list[Any]:
        """The header of creations that may be repeated."""
        handler = getattr(self.view, self.method.lower(), None)
        if not hasattr(handler, MARK):
            return []
        return [
            OpenApiParameter(
                HEADER,
                {"type": "string", "minLength": 1, "maxLength": KEY_LENGTH, "pattern": "^[!-~]+$"},
                OpenApiParameter.HEADER,
                description="A text of your own: the same request with it again gets the first answer for a day.",
            )
        ]

    def get_operation_id(self) -> str:
        """`experiments_list` beside `experiments_retrieve`: the list is known by its class."""
        name = super().get_operation_id()
        is_list = self.method == "GET" and type(self.view).__name__.endswith("List")
        return f"{name.removesuffix('_retrieve')}_list" if is_list else name

    def get_summary(self) -> str | None:
        """The first line of the handler's docstring."""
        return self._lines()[0].rstrip(".") or None

    def get_description(self) -> str:  # type: ignore[override] # as in the class above it
        """Its other lines."""
        return "\n".join(self._lines()[1:]).strip()

    def _lines(self) -> list[str]:
        documented = getattr(self.view, self.method.lower(), self.view).__doc__ or ""
        return [line.strip() for line in documented.strip().splitlines()] or [""]


class BearerKey(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call] # untyped library
    """`Authorization: Bearer KEY`; it covers the class that the settings name first."""

    target_class = "marketing.api.keys.KeyAuthentication"
    name = "key"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        """A key of a source with the scope `read` or `manage`."""
        return {"type": "http", "scheme": "bearer", "description": "A key of the scope `read` or `manage`."}


def with_problems(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Post-processing: the problems of every operation, and bodies without unknown fields."""
    schemas = result.setdefault("components", {}).setdefault("schemas", {})
    schemas["Problem"] = PROBLEM
    for name, schema in schemas.items():
        if name.endswith("Request") and schema.get("type") == "object":
            schema.setdefault("additionalProperties", False)
    for operations in result["paths"].values():
        for operation in operations.values():
            for kind in (*ALWAYS, *WRITING):
                operation["responses"].setdefault(str(kind.status), _response(kind))
            operation["responses"] = dict(sorted(operation["responses"].items()))
    return result


def _response(kind: Kind) -> dict[str, Any]:
    content = {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": f"{kind.title}. {kind.remedy}", "content": content}


@functools.cache
def page_schema(item: type[serializers.BaseSerializer[Any]]) -> OpenApiResponse:
    """What a list answers."""
    name = item.__name__.removesuffix("Serializer")
    return OpenApiResponse(
        inline_serializer(
            f"{name}Page",
            {
                "results": item(many=True),
                "next": serializers.URLField(allow_null=True, help_text="The next page; null on the last one."),
            },
        )
    )


def schema_of(hint: Any) -> dict[str, Any]:
    """The JSON schema of an annotation; dataclasses become objects.

    >>> schema_of(float | None)
    {'type': 'number', 'nullable': True}
    """
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if hint in _SCALARS:
        return dict(_SCALARS[hint])
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        return {
            "type": "object",
            "description": (hint.__doc__ or "").strip().splitlines()[0],
            "properties": {field.name: schema_of(hints[field.name]) for field in dataclasses.fields(hint)},
            "required": [field.name for field in dataclasses.fields(hint)],
        }
    if origin in (types.UnionType, typing.Union):
        (inner,) = [part for part in parts if part is not type(None)]
        return {**schema_of(inner), "nullable": True}
    if origin is Literal:
        return {"type": "string", "enum": list(parts)}
    if origin in (tuple, list) or (isinstance(origin, type) and issubclass(origin, typing.Sequence)):
        return {"type": "array", "items": schema_of(parts[0])}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": schema_of(parts[1])}
    raise TypeError(f"no schema for {hint!r}")


def operations_by_tag(schema: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """For the documentation page: the operations of each tag, with their parameters and bodies in lines."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            tag = capfirst(operation["tags"][0].replace("-", " "))
            found.setdefault(tag, []).append(
                {
                    "method": method.upper(),
                    "path": path,
                    "id": operation["operationId"],
                    "summary": operation.get("summary", ""),
                    "description": operation.get("description", ""),
                    "parameters": [_parameter(one) for one in operation.get("parameters", [])],
                    "body": _fields(schema, _content(operation.get("requestBody"))),
                    "answers": [
                        {"status": status, "fields": _fields(schema, _content(answer)), "text": answer["description"]}
                        for status, answer in operation["responses"].items()
                        if status < "400"
                    ],
                }
            )
    return found


def shapes(schema: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """For the documentation page: what the fields of fields are made of."""
    return {
        name: _fields(schema, component)
        for name, component in schema["components"]["schemas"].items()
        if not name.endswith("Page")
    }


def _parameter(one: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": one["name"],
        "place": one["in"],
        "kind": _kind(one["schema"]),
        "is_required": one.get("required", False),
        "text": one.get("description", ""),
    }


def _content(carrier: Mapping[str, Any] | None) -> Mapping[str, Any]:
    schema: Mapping[str, Any] = ((carrier or {}).get("content") or {}).get("application/json", {}).get("schema", {})
    return schema


def _fields(schema: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[dict[str, Any]]:
    resolved = _resolved(schema, wanted)
    required = resolved.get("required", [])
    return [
        {"name": name, "kind": _kind(inner), "is_required": name in required, "text": inner.get("description", "")}
        for name, inner in resolved.get("properties", {}).items()
    ]


def _resolved(schema: Mapping[str, Any], wanted: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" in wanted:
        component: Mapping[str, Any] = schema["components"]["schemas"][_named(wanted)]
        return component
    return _resolved(schema, wanted["items"]) if wanted.get("type") == "array" else wanted


def _named(reference: Mapping[str, Any]) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _kind(schema: Mapping[str, Any]) -> str:
    """A type in words: `list of Arm`, `one of draft, running`."""
    if "$ref" in schema:
        return _named(schema)
    if "enum" in schema:
        return f"one of {', '.join(str(value) for value in schema['enum'] if value is not None)}"
    for several in ("oneOf", "allOf"):
        if several in schema:
            return _kind(schema[several][0])
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])}"
    return str(schema.get("format") or schema.get("type") or "any JSON")
