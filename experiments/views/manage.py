"""The list of experiments, and the pages on which people change an experiment's state."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.contrib.auth.models import User
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_safe

from experiments.choices import TRANSITIONS, ExperimentStatus
from experiments.errors import CannotTransition
from experiments.forms.manage import DecisionForm, TransitionForm
from experiments.models import Decision, Experiment
from experiments.selectors import count_experiments, get_report, list_collisions, list_experiments
from experiments.selectors.certificates import get_certificate
from experiments.selectors.experiments import SHOWN_PER_PAGE
from experiments.services import decision as decision_service
from experiments.services import lifecycle

VIEW = "experiments.view_experiment"
LAUNCH = "experiments.launch_experiment"
DECIDE = "experiments.decide_experiment"

# What will happen, in words, before somebody confirms it.
CONSEQUENCES = {
    "start": gettext_lazy(
        "Units are assigned from now on. The plan, the arms and their weights are frozen: what was promised is kept "
        "beside what came out."
    ),
    "pause": gettext_lazy(
        "Nobody new is taken in. Whoever has been exposed keeps the arm, and the measuring windows run on."
    ),
    "resume": gettext_lazy("New units are taken in again."),
    "stop": gettext_lazy(
        "Enrolment ends for good and everybody gets the default. Results go on until the last window has closed."
    ),
    "emergency_stop": gettext_lazy(
        "Within five seconds everybody gets the default, a shipped arm included. There is no way back to running."
    ),
    "archive": gettext_lazy(
        "The experiment leaves the lists. What visitors get does not change: a shipped arm goes on being served."
    ),
}
_SERVICES: dict[str, Callable[..., Experiment]] = {
    "start": lifecycle.start,
    "pause": lifecycle.pause,
    "resume": lifecycle.resume,
    "stop": lifecycle.stop,
    "emergency_stop": lifecycle.emergency_stop,
    "archive": lifecycle.archive,
}


@require_safe
@login_required
@permission_required(VIEW, raise_exception=True)
def experiment_list(request: HttpRequest) -> HttpResponse:
    """Experiments with state, verdict, health, people and days."""
    status = request.GET.get("status", "")
    if status not in ExperimentStatus.values:
        status = ""
    paginator = Paginator(range(count_experiments(status=status)), SHOWN_PER_PAGE)
    page = paginator.get_page(request.GET.get("page"))
    offset = (page.number - 1) * SHOWN_PER_PAGE
    context = {
        "rows": list_experiments(at=timezone.now(), status=status, offset=offset),
        "page": page,
        "status": status,
        "statuses": ExperimentStatus.choices,
    }
    return render(request, "experiments/list.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@permission_required(LAUNCH, raise_exception=True)
def experiment_transition(request: HttpRequest, key: str, transition: str) -> HttpResponse:
    """Ask for a confirmation, then start, pause, resume, stop or archive."""
    experiment = get_object_or_404(Experiment, key=key)
    if transition not in _SERVICES:
        raise Http404
    form = TransitionForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            changed = _SERVICES[transition](
                experiment_key=key, at=timezone.now(), actor=_actor(request), message=form.cleaned_data["message"]
            )
        except CannotTransition as error:
            for reason in error.reasons:
                form.add_error(None, str(reason))
        else:
            label = ExperimentStatus(changed.status).label
            messages.success(request, _("“%(name)s” is now: %(status)s.") % {"name": changed.name, "status": label})
            return redirect("experiments:experiment-detail", key=key)
    rule = TRANSITIONS[transition]
    context = {
        "experiment": experiment,
        "rule": rule,
        "is_possible": experiment.status in rule.sources,
        "consequence": CONSEQUENCES[transition],
        "checklist": lifecycle.checklist(experiment_key=key) if transition == "start" else (),
        "certificate": get_certificate(experiment_key=key) if transition == "start" else None,
        "collisions": list_collisions(experiment_key=key) if transition == "start" else (),
        "is_dangerous": transition in ("stop", "emergency_stop"),
        "form": form,
    }
    return render(request, "experiments/confirm.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@permission_required(DECIDE, raise_exception=True)
def experiment_decide(request: HttpRequest, key: str) -> HttpResponse:
    """Ship, stop, continue or end undecided, with a reason."""
    experiment = get_object_or_404(Experiment, key=key)
    form = DecisionForm(
        request.POST if request.method == "POST" else None, arms=list(experiment.arms.order_by("position"))
    )
    if request.method == "POST" and form.is_valid():
        try:
            made = decision_service.decide(
                experiment_key=key, at=timezone.now(), actor=_actor(request), **form.decision()
            )
        except CannotTransition as error:
            form.add_reasons(error.reasons)
        else:
            messages.success(
                request,
                _("Decided: %(outcome)s. The reason is kept.") % {"outcome": made.get_outcome_display()},
            )
            return redirect("experiments:experiment-detail", key=key)
    context = {
        "experiment": experiment,
        "form": form,
        "report": get_report(experiment_key=key),
        "is_possible": experiment.status in TRANSITIONS["decide"].sources,
    }
    return render(request, "experiments/decision.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@permission_required(DECIDE, raise_exception=True)
def experiment_revert(request: HttpRequest, key: str) -> HttpResponse:
    """Take the standing decision back."""
    experiment = get_object_or_404(Experiment, key=key)
    form = TransitionForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            decision_service.revert(
                experiment_key=key, at=timezone.now(), actor=_actor(request), message=form.cleaned_data["message"]
            )
        except CannotTransition as error:
            for reason in error.reasons:
                form.add_error(None, str(reason))
        else:
            messages.success(request, _("The decision is reverted: the experiment is as it was before."))
            return redirect("experiments:experiment-detail", key=key)
    standing = Decision.objects.standing().filter(experiment=experiment).select_related("arm", "by").first()
    context = {
        "experiment": experiment,
        "decision": standing,
        "status_before": "" if standing is None else ExperimentStatus(standing.status_before).label,
        "is_possible": standing is not None and experiment.status in TRANSITIONS["revert"].sources,
        "form": form,
    }
    return render(request, "experiments/revert.html", context)


def _actor(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user
