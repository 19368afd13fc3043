"""From an item to the people it would suit: one form, and a segment."""

from __future__ import annotations

from dataclasses import asdict

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from marketing import tasks
from marketing.forms.affinity import AffinityForm
from recommender.selectors import list_strategy_choices


@login_required
@permission_required("marketing.add_segment", raise_exception=True)
@require_http_methods(["GET", "POST"])
def affinity_new(request: HttpRequest) -> HttpResponse:
    """Ask for item, strategy and number; a worker makes the segment."""
    choices = list_strategy_choices()
    initial = {name: request.GET[name] for name in ("item_id", "strategy") if name in request.GET}
    form = AffinityForm(request.POST or None, initial=initial, strategies=choices)
    if not form.is_valid():
        status = 422 if form.is_bound else 200
        return render(request, "marketing/segments/affinity.html", {"form": form}, status=status)
    wish, actor_id = asdict(form.wish()), request.user.pk
    transaction.on_commit(lambda: tasks.create_affinity_segment.delay(**wish, actor_id=actor_id))
    messages.success(request, _("“%(name)s” will be in the list in a minute or two.") % {"name": wish["name"]})
    return redirect("marketing:segment-list")
