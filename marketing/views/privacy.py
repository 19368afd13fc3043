"""What is kept how long, and what people have asked for: the page of whoever answers for data protection."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required, permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from marketing.selectors import retention


@login_required
@permission_required("marketing.view_profile", raise_exception=True)
@require_GET
def overview(request: HttpRequest) -> HttpResponse:
    """Show limits with their last proof, open requests and notices that did not arrive."""
    at = timezone.now()
    context = {
        "limits": retention.limits(at=at),
        "requests": retention.open_requests(),
        "notices": retention.failed_notices(),
        "at": at,
    }
    return render(request, "marketing/privacy/overview.html", context)
