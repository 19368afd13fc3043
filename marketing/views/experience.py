"""The campaign page and its slot: what the people addressed see."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from experiments.services.forcing import COOKIE, forced_arms
from marketing.errors import UnknownCampaign
from marketing.selectors.campaigns import public_config
from marketing.services.experience import serve
from marketing.services.tracking import button_token, honor_signal, shown_items
from marketing.views.public import frame
from marketing.views.visitor import visitor_of


@never_cache
@require_safe
def page(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the page around the slot; it decides nothing and records nothing."""
    try:
        campaign = public_config(slug=slug)
    except UnknownCampaign as error:
        raise Http404 from error
    context = {"campaign": campaign, "arm": campaign.default_arm, **frame(request)}
    return render(request, "marketing/experience/page.html", context)


@never_cache
@require_safe
def slot(request: HttpRequest, slug: str) -> HttpResponse:
    """Fill the slot once it is in view: eligibility, arm, exposure, content."""
    try:
        at = timezone.now()
        forced = forced_arms(tokens=request.COOKIES.get(COOKIE, ""), at=at)
        visitor = visitor_of(request)
        if visitor.opts_out:
            honor_signal(visitor=visitor, at=at)
        experience = serve(slug=slug, visitor=visitor, at=at, forced=forced)
    except UnknownCampaign as error:
        raise Http404 from error
    context = {
        "experience": experience,
        "arm": experience.arm,
        "items": shown_items(experience=experience),
        "button_token": button_token(experience=experience),
    }
    return render(request, "marketing/experience/slot.html", context)
