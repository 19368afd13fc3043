"""The demo world's progress, and the button that takes it away."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required, user_passes_test
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from marketing.selectors.operations import job
from marketing.services.demo.names import SEED_JOB, Step
from marketing.services.demo.removal import has_demo_world
from marketing.tasks import remove_demo_world


@login_required
@require_GET
def demo_progress(request: HttpRequest) -> HttpResponse:
    """Render how far the job is; HTMX asks again every two seconds while it runs.

    `was` is what the page last saw: `running`, or `waiting` for the worker to begin with the removal. At the end the
    page loads anew, because what else it shows has come or gone.
    """
    was = request.GET.get("was")
    current = job(name=SEED_JOB)
    is_running = current is not None and current.is_under_way
    has_demo = has_demo_world()
    is_waiting = was == "waiting" and has_demo and not is_running
    context = {
        "job": current,
        "is_running": is_running,
        "is_removal": current is not None and current.step == Step.REMOVAL,
        "is_waiting": is_waiting,
        "has_demo": has_demo,
    }
    response = render(request, "marketing/demo/_progress.html", context)
    if was in {"running", "waiting"} and not (is_running or is_waiting):
        response["HX-Redirect"] = reverse("marketing:home")
    return response


def _is_superuser(user: object) -> bool:
    if getattr(user, "is_superuser", False):
        return True
    raise PermissionDenied


@login_required
@user_passes_test(_is_superuser)
@require_http_methods(["GET", "POST"])
def demo_remove(request: HttpRequest) -> HttpResponse:
    """Ask, then have the worker remove the demo world."""
    if request.method == "GET":
        return render(request, "marketing/demo/remove.html")
    transaction.on_commit(remove_demo_world.delay)
    return redirect(reverse("marketing:home") + "?demo=removing")
