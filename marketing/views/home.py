"""The first page after signing in."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from marketing.selectors.dashboard import attention, reviews_for, running_cards, status_counts


@login_required
@require_GET
def home(request: HttpRequest) -> HttpResponse:
    """Show what runs, what it says, and what waits for somebody."""
    if not request.user.has_perm("marketing.view_campaign"):
        return render(request, "marketing/home/no_role.html")
    cards = running_cards()
    may_approve = request.user.has_perm("marketing.launch_campaign")
    reviews = reviews_for(user_id=request.user.pk or 0) if may_approve else []
    context = {"cards": cards, "attention": [*reviews, *attention(cards)], "counts": status_counts()}
    return render(request, "marketing/home/home.html", context)
