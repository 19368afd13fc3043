"""An endpoint: what each method needs, what the app's errors are, and what comes in, in one place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.contrib.auth.models import User
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from config.webapi.access import IsAllowed
from config.webapi.problems import Border, translated


class Endpoint(APIView):
    """One address. A method is served if `permissions` has it; `problems` translates the errors of its services."""

    permission_classes = (IsAllowed,)
    permissions: ClassVar[Mapping[str, str | tuple[str, ...]]] = {}
    problems: ClassVar[Border] = {}

    @property
    def allowed_methods(self) -> list[str]:
        """For the header `Allow`."""
        return sorted(self.permissions)

    def handle_exception(self, exc: Exception) -> Response:
        """Translate what a service raised, once."""
        return super().handle_exception(translated(exc, self.problems))


class Strict(Serializer[Any]):
    """A body or query in which an unknown field is an error, not something that is silently left out."""

    def to_internal_value(self, data: Any) -> Any:
        """Check the names first."""
        if isinstance(data, Mapping):
            unknown = sorted(str(name) for name in data.keys() - self.fields.keys())
            if unknown:
                said = f"There is no such field here. There are: {', '.join(self.fields)}."
                raise ValidationError({name: [said] for name in unknown})
        return super().to_internal_value(data)


def body_of(request: Request, serializer: type[Serializer[Any]], *, partial: bool = False) -> dict[str, Any]:
    """The checked body."""
    form = serializer(data=request.data, partial=partial)
    form.is_valid(raise_exception=True)
    values: dict[str, Any] = form.validated_data
    return values


def query_of(request: Request, serializer: type[Serializer[Any]]) -> dict[str, Any]:
    """The checked query."""
    form = serializer(data=request.query_params.dict())
    form.is_valid(raise_exception=True)
    values: dict[str, Any] = form.validated_data
    return values


def actor_of(request: Request) -> User:
    """Who acts: the person signed in, or the one that the key acts for."""
    assert isinstance(request.user, User)
    return request.user
