"""How Django REST framework and drf-spectacular are set up; `config.webapi` has the parts."""

from __future__ import annotations

from typing import Any, Final

REST_FRAMEWORK: Final[dict[str, Any]] = {
    # The key first: its way of asking is what a 401 names.
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "marketing.api.keys.KeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["config.webapi.access.IsAllowed"],
    "DEFAULT_THROTTLE_CLASSES": ["config.throttle.ApiThrottle"],
    "DEFAULT_PARSER_CLASSES": ["config.webapi.parsing.JsonParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "config.webapi.access.AlwaysJson",
    "DEFAULT_SCHEMA_CLASS": "config.webapi.schema.EndpointSchema",
    "DEFAULT_METADATA_CLASS": None,
    "EXCEPTION_HANDLER": "config.webapi.problems.handle",
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS: Final[dict[str, Any]] = {
    "TITLE": "Holdout management API",
    "DESCRIPTION": "Experiments, metrics, segments, profiles, campaigns, catalogue, strategies and keys.",
    "VERSION": "1",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": [
        "config.webapi.schema.with_problems",
    ],
    "PATH_CONVERTER_OVERRIDES": {
        "id": {"type": "integer", "minimum": 0, "maximum": 10**18 - 1},
        "name": {"type": "string", "minLength": 1, "maxLength": 200},
        "slug": {"type": "string", "pattern": "^[-a-zA-Z0-9_]+$"},
    },
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
}
