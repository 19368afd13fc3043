"""How a program signs in: with a key of a source, which acts for a person."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from config.webapi.credentials import KeyInUse
from marketing.choices import KeyScope
from marketing.services.sources import management_key


class KeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer KEY`; without the header it is somebody else's turn."""

    def authenticate(self, request: Request) -> tuple[User, KeyInUse] | None:
        """Return the person that the key acts for, and the key."""
        scheme, _, secret = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        key = management_key(secret=secret.strip(), at=timezone.now())
        if key is None or key.acts_for is None:
            raise AuthenticationFailed("The key is unknown or revoked, or it lacks the scopes “read” and “manage”.")
        return key.acts_for, KeyInUse(key.pk, KeyScope.MANAGE in key.scopes, key.rate_limit)

    def authenticate_header(self, request: Request) -> str:
        """What a 401 asks for."""
        return 'Bearer realm="Holdout"'
