"""The certificate of an experiment: false positives on the past."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from experiments.models import Experiment
from experiments.selectors.certificates import get_certificate
from experiments.tasks import certify_experiment

VIEW = "experiments.view_experiment"
LAUNCH = "experiments.launch_experiment"


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@permission_required(VIEW, raise_exception=True)
def experiment_certificate(request: HttpRequest, key: str) -> HttpResponse:
    """Show the newest certificate; the button asks the worker for another."""
    experiment = get_object_or_404(Experiment, key=key)
    can_certify = request.user.has_perm(LAUNCH)
    if request.method == "POST":
        if not can_certify:
            raise PermissionDenied
        transaction.on_commit(lambda: certify_experiment.delay(key), robust=True)
        messages.info(request, _("The past is being tested; look again in a minute or two."))
        return redirect("experiments:experiment-certificate", key=key)
    context = {
        "experiment": experiment,
        "certificate": get_certificate(experiment_key=key),
        "can_certify": can_certify,
    }
    return render(request, "experiments/certificate.html", context)
