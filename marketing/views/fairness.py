"""The fairness report of one campaign or segment."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required, permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from marketing.errors import CannotReport, ProtectedTrait
from marketing.selectors.fairness import choices
from marketing.services import fairness


@login_required
@permission_required("marketing.view_profile", raise_exception=True)
@require_GET
def report(request: HttpRequest) -> HttpResponse:
    """Show the report that is asked for, or what there is to choose from."""
    campaign, segment = request.GET.get("campaign", ""), request.GET.get("segment", "")
    context: dict[str, object] = {"choices": choices(), "campaign": campaign, "segment": segment}
    try:
        if campaign:
            context["report"] = fairness.of_campaign(slug=campaign[:64], at=timezone.now())
        elif segment:
            context["report"] = fairness.of_segment(slug=segment[:64], at=timezone.now())
    except (CannotReport, ProtectedTrait) as error:
        context["failure"] = str(error)
    return render(request, "marketing/privacy/fairness.html", context)
