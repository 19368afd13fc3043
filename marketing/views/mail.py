"""The links of a message: unsubscribing and clicking. No cookie, no sign-in; GET never unsubscribes."""

from __future__ import annotations

import logging

from django.core import signing
from django.core.exceptions import SuspiciousOperation
from django.db import DatabaseError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from marketing.services.sending.replies import record_mail_click, target_of, unsubscribe
from marketing.services.sending.tokens import read_click, read_unsubscribe
from marketing.views.visitor import visitor_of

log = logging.getLogger(__name__)


@never_cache
@csrf_exempt  # RFC 8058: the mailbox provider posts without a cookie; the signed token is the proof
@require_http_methods(["GET", "HEAD", "POST"])
def leave(request: HttpRequest, token: str) -> HttpResponse:
    """Ask (GET: mail scanners open every link), and unsubscribe at once (POST)."""
    try:
        delivery_id = read_unsubscribe(token)
    except (signing.BadSignature, TypeError, ValueError) as error:
        raise Http404 from error
    if request.method == "POST":
        unsubscribe(delivery_id=delivery_id, at=timezone.now())
    response = render(request, "marketing/mail/unsubscribe.html", {"is_done": request.method == "POST"})
    response["Referrer-Policy"] = "no-referrer"
    return response


@csrf_exempt  # the provider's secret, and its signature where it has one, are the proof
@require_POST
def provider_events(request: HttpRequest, provider: str) -> HttpResponse:
    """Take what the mail provider reports: deliveries, bounces, complaints."""
    from marketing.channels import providers  # noqa: PLC0415 - requests: most installations have no provider
    from marketing.services.sending.providers import record_events  # noqa: PLC0415 - the same

    try:
        reports = providers.read_events(request, provider=provider)
    except providers.UnknownProvider as error:
        raise Http404 from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise SuspiciousOperation("the body is no report of this provider") from error
    record_events(reports=reports, provider=provider, at=timezone.now())
    return HttpResponse()


@never_cache
@require_safe
def follow(request: HttpRequest, token: str) -> HttpResponse:
    """Store the click and redirect. The query string never changes where it leads."""
    try:
        click = read_click(token)
    except (signing.BadSignature, TypeError) as error:
        raise Http404 from error
    target = target_of(click=click)
    if target is None:
        raise Http404
    try:
        record_mail_click(click=click, suspicion=visitor_of(request).suspicion, at=timezone.now())
    except DatabaseError:
        log.exception("a click could not be stored; the person goes on")
    response = HttpResponseRedirect(target)
    response["Referrer-Policy"] = "no-referrer"
    return response
