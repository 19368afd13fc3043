"""The management API's rate limit: of the key or the person, by the same counter as the rest."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from django.conf import settings
from limits import RateLimitItem, parse
from rest_framework.throttling import BaseThrottle

from config.ratelimit import limiter
from config.webapi.credentials import KeyInUse

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.views import APIView

# A program that follows every page of every list does about twenty requests a second.
A_MINUTE: Final = 1_200


class ApiThrottle(BaseThrottle):
    """The management API's limit, a minute: the key's own, or what everybody has."""

    def __init__(self) -> None:
        self._counted: tuple[RateLimitItem, str] | None = None

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Count the request."""
        if not getattr(settings, "RATE_LIMITS_ON", True):
            return True
        key = request.auth if isinstance(request.auth, KeyInUse) else None
        own = None if key is None else key.rate_limit
        limit = parse(f"{A_MINUTE if own is None else own}/minute")
        self._counted = (limit, f"user-{request.user.pk}" if key is None else f"key-{key.id}")
        return limiter().hit(limit, "api", self._counted[1])

    def wait(self) -> float | None:
        """Seconds until there is one again."""
        assert self._counted is not None
        limit, who = self._counted
        return max(1.0, limiter().get_window_stats(limit, "api", who).reset_time - time.time())
