"""Rate limits for what strangers can reach: sign-in and the public pages.

Counted by the `limits` library: in this process by default, in Redis where `REDIS_URL` is set, so that several
processes share one count.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from typing import Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.translation import gettext as _
from limits import RateLimitItem, parse
from limits.storage import storage_from_string
from limits.strategies import MovingWindowRateLimiter, RateLimiter

# (method, path prefix, limit per address). A person signs in a few times a minute; a page with its slot, clicks and
# consent form is a handful of requests, and an office behind one address is a few hundred people.
RULES: Final[tuple[tuple[str, str, RateLimitItem], ...]] = (
    ("POST", "/accounts/", parse("20/minute")),
    ("POST", "/admin/login/", parse("20/minute")),
    ("GET", "/accounts/one-time/", parse("30/minute")),
    # A link that is asked for, and a yes to e-mail that must be confirmed, are each a mail to somebody.
    ("POST", "/me/", parse("10/minute")),
    # Each try at a token is a guess.
    ("*", "/me/", parse("120/minute")),
    ("*", "/c/", parse("1200/minute")),
    ("*", "/r/", parse("1200/minute")),
    ("*", "/shop/", parse("1200/minute")),
)


@functools.cache
def limiter() -> RateLimiter:
    """Return the process's limiter."""
    return MovingWindowRateLimiter(storage_from_string(settings.RATE_LIMIT_STORAGE))


def rule_for(request: HttpRequest) -> tuple[str, RateLimitItem] | None:
    """Return the (prefix, limit) that applies to the request, if any."""
    for method, prefix, limit in RULES:
        if method in ("*", request.method) and request.path.startswith(prefix):
            return prefix, limit
    return None


def address_of(request: HttpRequest) -> str:
    """Return whom the request is counted for; behind a proxy the address that the proxy itself has added, the last."""
    forwarded = str(request.META.get("HTTP_X_FORWARDED_FOR", "")) if settings.BEHIND_TLS_PROXY else ""
    return forwarded.rpartition(",")[2].strip() or str(request.META.get("REMOTE_ADDR", ""))


class RateLimitMiddleware:
    """Answer 429 with `Retry-After` once an address has used up its limit."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.is_on: bool = getattr(settings, "RATE_LIMITS_ON", True)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        rule = rule_for(request) if self.is_on else None
        if rule is None:
            return self.get_response(request)
        prefix, limit = rule
        address = address_of(request)
        if limiter().hit(limit, prefix, address):
            return self.get_response(request)
        wait = max(1, math.ceil(limiter().get_window_stats(limit, prefix, address).reset_time - time.time()))
        response = HttpResponse(_("Too many requests. Please wait a moment."), status=429, content_type="text/plain")
        response["Retry-After"] = str(wait)
        return response
