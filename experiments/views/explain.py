"""The page that explains one unit: every experiment, in or out and why."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required, permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from experiments.forms.explain import ExplainForm
from experiments.services.explanation import UnitExplanation, explain_unit
from experiments.services.forcing import COOKIE, forced_arms


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@permission_required("experiments.view_experiment", raise_exception=True)
def experiment_explain(request: HttpRequest) -> HttpResponse:
    """Ask for a unit, then explain it. By POST: ids of people do not belong into addresses and their logs."""
    form = ExplainForm(request.POST if request.method == "POST" else None)
    explanations: tuple[UnitExplanation, ...] | None = None
    if request.method == "POST" and form.is_valid():
        at = timezone.now()
        forced = forced_arms(tokens=request.COOKIES.get(COOKIE, ""), at=at)
        explanations = explain_unit(at=at, forced=forced, **form.cleaned_data)
    return render(request, "experiments/explain.html", {"form": form, "explanations": explanations})
