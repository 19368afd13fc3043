"""Who may do what, and in which format: named in the settings, so nothing here loads a view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework.exceptions import MethodNotAllowed, NotAuthenticated, PermissionDenied
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.permissions import SAFE_METHODS, BasePermission

from config.webapi.credentials import KeyInUse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rest_framework.parsers import BaseParser
    from rest_framework.renderers import BaseRenderer
    from rest_framework.request import Request
    from rest_framework.views import APIView


class IsAllowed(BasePermission):
    """The person, or whom the key acts for, has the permission that the endpoint names for the method."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Refuse by raising, so that the answer says what is missing."""
        permissions: Mapping[str, str | tuple[str, ...]] = getattr(view, "permissions", {})
        if not request.user.is_authenticated:
            raise NotAuthenticated
        method = "GET" if request.method == "HEAD" else str(request.method)
        if method not in permissions:
            raise MethodNotAllowed(method)
        if method not in SAFE_METHODS and isinstance(request.auth, KeyInUse) and not request.auth.may_write:
            raise PermissionDenied("The key lacks the scope “manage”.")
        for permission in needed(permissions[method]):
            if not request.user.has_perm(permission):
                raise PermissionDenied(f"The permission “{permission}” is missing.")
        return True


def needed(permissions: str | tuple[str, ...]) -> tuple[str, ...]:
    """What an endpoint names for a method: one permission, or several that are all needed."""
    return (permissions,) if isinstance(permissions, str) else permissions


class AlwaysJson(BaseContentNegotiation):
    """There is one format, so that `Accept` is not looked at."""

    def select_parser(self, request: Request, parsers: Any) -> BaseParser | None:
        """The parser for the body's type; None is a 415."""
        given = (request.content_type or "").partition(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == given), None)

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """The only renderer."""
        return renderers[0], renderers[0].media_type
