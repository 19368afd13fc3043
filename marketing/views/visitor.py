"""Who asks: read from the request's headers and signed cookies, without a look into the database."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from experiments.ports import is_program, opts_out
from marketing.services.audience import Visitor

VISITOR_COOKIE: Final = "holdout_visitor"
DEMO_COOKIE: Final = "holdout_demo_person"
CHOICE_COOKIE: Final = "holdout_consent"
"""Remembers only *that* a choice was made, so that the question is asked once; it names nobody."""
VISITOR_SECONDS: Final = 180 * 24 * 3600
CHOICE_SECONDS: Final = 180 * 24 * 3600


def visitor_of(request: HttpRequest) -> Visitor:
    """Return what the request says of the person behind it."""
    return Visitor(
        anonymous_id=_signed(request, VISITOR_COOKIE),
        demo_profile_id=_number(_signed(request, DEMO_COOKIE)),
        suspicion=_suspicion(request),
        opts_out=opts_out(
            gpc=request.headers.get("Sec-GPC", ""),
            dnt=request.headers.get("DNT", ""),
            honors_dnt=settings.HONOR_DO_NOT_TRACK,
        ),
    )


def has_chosen(request: HttpRequest) -> bool:
    """Tell whether the consent question was answered in this browser."""
    return CHOICE_COOKIE in request.COOKIES


def remember_visitor(response: HttpResponse, anonymous_id: str) -> None:
    """Set the first-party cookie after consent, or take it away."""
    if anonymous_id:
        _set(response, VISITOR_COOKIE, anonymous_id, seconds=VISITOR_SECONDS)
    else:
        response.delete_cookie(VISITOR_COOKIE)


def remember_choice(response: HttpResponse) -> None:
    """Note that the question was answered."""
    response.set_cookie(
        CHOICE_COOKIE, "1", max_age=CHOICE_SECONDS, httponly=True, samesite="Lax", secure=settings.SESSION_COOKIE_SECURE
    )


def play(response: HttpResponse, profile_id: int | None) -> None:
    """Be a person of the demo world in this browser, or stop being one."""
    if profile_id is None:
        response.delete_cookie(DEMO_COOKIE)
    else:
        _set(response, DEMO_COOKIE, str(profile_id), seconds=None)


def _set(response: HttpResponse, name: str, value: str, *, seconds: int | None) -> None:
    response.set_signed_cookie(
        name,
        value,
        salt=name,
        max_age=seconds,
        httponly=True,
        samesite="Lax",
        secure=settings.SESSION_COOKIE_SECURE,
    )


def _signed(request: HttpRequest, name: str) -> str:
    """Return the cookie's value; empty where it is missing, changed or too old."""
    return request.get_signed_cookie(name, default="", salt=name, max_age=VISITOR_SECONDS) or ""


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def _suspicion(request: HttpRequest) -> str:
    if request.method == "HEAD":
        return "head"
    purpose = f"{request.headers.get('Sec-Purpose', '')} {request.headers.get('Purpose', '')}"
    if "prefetch" in f"{purpose} {request.headers.get('X-Moz', '')}":
        return "prefetch"
    return "bot" if is_program(request.headers.get("User-Agent", "")) else ""
