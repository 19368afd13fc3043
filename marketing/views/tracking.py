"""Clicks: a signed link that stores the click and leads to a target looked up in the database."""

from __future__ import annotations

import logging

from django.core import signing
from django.db import DatabaseError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from marketing.services.tracking import read_token, record_click, target_of
from marketing.views.visitor import visitor_of

log = logging.getLogger(__name__)


@never_cache
@require_safe
def follow(request: HttpRequest, token: str) -> HttpResponse:
    """Store the click and redirect. The query string never changes where it leads."""
    try:
        click = read_token(token=token)
    except (signing.BadSignature, TypeError) as error:
        raise Http404 from error
    target = target_of(click=click)
    if target is None:
        raise Http404
    try:
        record_click(click=click, visitor=visitor_of(request), at=timezone.now())
    except DatabaseError:
        log.exception("a click could not be stored; the person goes on")
    response = HttpResponseRedirect(target)
    response["Referrer-Policy"] = "no-referrer"
    return response
