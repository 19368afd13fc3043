"""`Idempotency-Key`: a creation that is asked for twice happens once, and both requests get its answer."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import IntegrityError, transaction
from django.utils import timezone
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from config.webapi.endpoint import actor_of
from config.webapi.errors import REFUSED, Problem
from config.webapi.models import KEY_LENGTH, StoredAnswer

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotent-Replayed"
KEPT_FOR: Final = timedelta(days=1)
MARK: Final = "is_idempotent"

Handler = Callable[..., Response]


def idempotent(handler: Handler) -> Handler:
    """Mark and wrap a `post` that may be repeated with the same key."""

    @functools.wraps(handler)
    def answered(view: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = request.headers.get(HEADER)
        if key is None:
            return handler(view, request, *args, **kwargs)
        if not key.isprintable() or not 0 < len(key) <= KEY_LENGTH:
            raise ValidationError({HEADER: [f"It must be 1 to {KEY_LENGTH} printable characters."]})
        return _once(request, key, timezone.now(), lambda: handler(view, request, *args, **kwargs))

    setattr(answered, MARK, True)
    return answered


def _once(request: Request, key: str, at: datetime, act: Callable[[], Response]) -> Response:
    """Act and keep the answer in one transaction: both are there, or neither.

    The unique key makes a second request wait for the first; a request that fails leaves no answer and may be repeated.
    """
    fingerprint = _fingerprint(request)
    with transaction.atomic():
        StoredAnswer.objects.filter(created_at__lt=at - KEPT_FOR).delete()
        try:
            with transaction.atomic():
                kept = StoredAnswer.objects.create(
                    owner=actor_of(request), key=key, request_sha256=fingerprint, created_at=at
                )
        except IntegrityError:
            return _replay(request, key, fingerprint)
        response = act()
        kept.status = response.status_code
        kept.headers = {"Location": response["Location"]} if response.has_header("Location") else {}
        kept.body = response.data
        kept.save(update_fields=["status", "headers", "body"])
        return response


def _replay(request: Request, key: str, fingerprint: str) -> Response:
    kept = StoredAnswer.objects.get(owner=actor_of(request), key=key)
    if kept.request_sha256 != fingerprint:
        raise Problem(REFUSED, f"The {HEADER} {key!r} was used for another request. Take a new one for this request.")
    return Response(kept.body, status=kept.status, headers={**kept.headers, REPLAYED: "true"})


def _fingerprint(request: Request) -> str:
    content = json.dumps([request.method, request.path, request.data], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()
