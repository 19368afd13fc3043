"""What one person gets, and why."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required, permission_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from recommender import selectors
from recommender.services.inspection import inspect_user


@login_required
@permission_required("recommender.view_strategy", raise_exception=True)
@require_GET
def user_detail(request: HttpRequest, user_id: str) -> HttpResponse:
    """History, the slate this person would get now with its reasons, and the slates they got."""
    choices = selectors.list_strategy_choices()
    slug = request.GET.get("strategy") or (choices[0][0] if choices else "")
    if slug not in dict(choices):
        raise Http404
    page = inspect_user(user_id=user_id, strategy=slug, at=timezone.now())
    return render(request, "recommender/user_detail.html", {"page": page, "choices": choices, "slug": slug})
