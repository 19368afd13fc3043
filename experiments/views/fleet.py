"""Pages over all experiments: their health, and what everything together caused."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.decorators import login_required, permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from experiments.selectors.fleet import get_fleet
from experiments.selectors.ledger import list_ledger

VIEW = "experiments.view_experiment"


@require_safe
@login_required
@permission_required(VIEW, raise_exception=True)
def fleet_health(request: HttpRequest) -> HttpResponse:
    """The health of every experiment, the sick ones first."""
    return render(request, "experiments/fleet.html", {"fleet": get_fleet(at=timezone.now())})


@require_safe
@login_required
@permission_required(VIEW, raise_exception=True)
def holdout_ledger(request: HttpRequest) -> HttpResponse:
    """The effect of everything against the global holdout, by quarter."""
    context = {"metrics": list_ledger(), "currency": settings.REPORTING_CURRENCY}
    return render(request, "experiments/ledger.html", context)
