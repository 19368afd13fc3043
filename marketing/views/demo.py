"""The demo world's progress, and the button that takes it away."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required, user_passes_test
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from marketing.models import Job
from marketing.selectors.operations import job
from marketing.services.demo.names import SEED_JOB
from marketing.services.demo.removal import has_demo_world
from marketing.tasks import remove_demo_world


@login_required
@require_GET
def demo_progress(request: HttpRequest) -> HttpResponse:
    """Render how far the job is; HTMX asks again every two seconds while it runs, and reloads the page at its end."""
    current = job(name=SEED_JOB)
    is_running = current is not None and current.state == Job.State.RUNNING
    context = {"job": current, "is_running": is_running, "has_demo": has_demo_world()}
    response = render(request, "marketing/demo/_progress.html", context)
    if request.GET.get("was") == "running" and not is_running:
        response["HX-Refresh"] = "true"
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
    messages.success(request, _("The demo world is being removed."))
    return redirect("marketing:home")
