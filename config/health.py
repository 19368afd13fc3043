"""`/healthz`: whether the process serves, the database answers, and the clockwork ticks."""

from __future__ import annotations

from django.db import DatabaseError
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from marketing.selectors.operations import clockwork
from marketing.selectors.retention import overdue
from marketing.services.drain import lag
from recommender.selectors import model_alarms


@require_safe
@never_cache
def healthz(request: HttpRequest) -> JsonResponse:
    """Answer 200 while pages can be served, 503 where the database does not answer; ages are in seconds."""
    try:
        at = timezone.now()
        state = clockwork(at=at, drain_lag=lag(at=at))
        alarms = model_alarms()
        kept_too_long = overdue(at=at)
    except DatabaseError:
        return JsonResponse({"status": "error", "database": False}, status=503)
    return JsonResponse(
        {
            "status": "ok" if state.is_ticking and not alarms and not kept_too_long else "degraded",
            "database": True,
            "last_beat_age": state.last_beat_age,
            "drain_lag": state.drain_lag,
            "stale_after": state.stale_after,
            "unreadable_models": [alarm.slug for alarm in alarms],
            "kept_too_long": kept_too_long,
        }
    )
