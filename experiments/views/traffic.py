"""The traffic of an experiment: its phases and ramp, and links that show one arm to whoever checks it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from experiments.choices import ExperimentStatus
from experiments.errors import CannotTransition
from experiments.forms.percent import to_percent
from experiments.forms.traffic import CoverageForm, PhaseForm, ramp_text
from experiments.models import Experiment
from experiments.selectors.ramp import Ramp, get_ramp
from experiments.selectors.traffic import PhaseRow, list_phases, list_requirements
from experiments.services.forcing import COOKIE, LIFETIME, MOST_TOKENS, force_token, forced_arms
from experiments.services.lifecycle import open_phase
from experiments.services.ramp import RampSpec, change_ramp

OFF = "off"
"""Instead of a token: look at nothing forced any more."""


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@permission_required("experiments.launch_experiment", raise_exception=True)
def experiment_traffic(request: HttpRequest, key: str) -> HttpResponse:
    """Show phases, ramp and links; raise the coverage, or open a phase."""
    experiment = get_object_or_404(Experiment, key=key)
    phases, ramp = list_phases(experiment=experiment), get_ramp(experiment_key=key)
    assert ramp is not None  # every experiment has a phase
    action = request.POST.get("action", "")
    coverage = CoverageForm(request.POST if action == "coverage" else None, initial={"ramp": _pending(ramp)})
    phase = PhaseForm(
        request.POST if action == "phase" else None,
        arms=[asdict(share) for share in phases[0].shares],
        initial={"coverage_percent": to_percent(ramp.coverage), "targeting": phases[0].targeting},
    )
    at = timezone.now()
    if _is_changed(key, coverage, phase, at=at, actor=_actor(request)):
        messages.success(request, _("The traffic is changed. Whoever was exposed keeps the arm."))
        return redirect("experiments:experiment-traffic", key=key)
    context = {
        "experiment": experiment,
        "phases": phases,
        "ramp": ramp,
        "requirements": list_requirements(experiment=experiment),
        "is_live": experiment.status in (ExperimentStatus.RUNNING, ExperimentStatus.PAUSED),
        "coverage_form": coverage,
        "phase_form": phase,
        "links": _links(request, experiment, phases[0], at),
        "force_days": LIFETIME.days,
    }
    return render(request, "experiments/traffic.html", context)


@never_cache
@require_safe
def force_arm(request: HttpRequest, token: str) -> HttpResponse:
    """Remember in this browser which arm to show; the signature is the permission."""
    target = request.GET.get("next", "")
    if not url_has_allowed_host_and_scheme(
        target, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    ):
        target = "/"
    response = redirect(target)
    if token == OFF:
        response.delete_cookie(COOKIE)
        return response
    if not forced_arms(tokens=token, at=timezone.now()):
        raise Http404
    known = [one for one in request.COOKIES.get(COOKIE, "").split(",") if one and one != token]
    response.set_cookie(
        COOKIE,
        ",".join([token, *known][:MOST_TOKENS]),
        max_age=int(LIFETIME.total_seconds()),
        httponly=True,
        samesite="Lax",
        secure=settings.SESSION_COOKIE_SECURE,
    )
    return response


def _is_changed(key: str, coverage: CoverageForm, phase: PhaseForm, *, at: datetime, actor: User) -> bool:
    """Do what the one form that was sent asks; what the service refuses is shown in it."""
    sent: CoverageForm | PhaseForm = coverage if coverage.is_bound else phase
    if not sent.is_valid():
        return False
    try:
        if isinstance(sent, PhaseForm):
            open_phase(experiment_key=key, at=at, actor=actor, **sent.regime())
        else:
            change_ramp(experiment_key=key, at=at, actor=actor, **sent.change())
    except CannotTransition as error:
        sent.add_reasons(error.reasons)
        return False
    return True


def _pending(ramp: Ramp) -> str:
    started_at = ramp.started_at
    if started_at is None:
        return ""
    return ramp_text(
        [
            RampSpec(step.due_at - started_at, step.coverage)
            for step in ramp.steps
            if step.applied_at is None and step.due_at is not None
        ]
    )


def _links(request: HttpRequest, experiment: Experiment, phase: PhaseRow, at: datetime) -> list[dict[str, str]]:
    """For each arm the link for a browser and the token for a header."""
    links = []
    for share in phase.shares:
        token = force_token(experiment_key=experiment.key, arm_key=share.key, at=at)
        url = request.build_absolute_uri(reverse("experiments:force-arm", args=[token]))
        links.append({"name": share.name, "token": token, "url": url})
    return links


def _actor(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user
