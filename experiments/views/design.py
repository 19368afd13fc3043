"""The form on which an analyst makes an experiment without a campaign, and changes it while it is a draft."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from experiments.choices import ExperimentStatus
from experiments.errors import CannotTransition, InvalidDesign, UnknownExperiment
from experiments.forms.design import FIRST_ARMS, BaseArmRows, ExperimentForm, arm_rows, initial_arms, initial_frame
from experiments.selectors import get_status
from experiments.services.design import create_experiment, design_of, revise


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@permission_required("experiments.add_experiment", raise_exception=True)
def experiment_create(request: HttpRequest) -> HttpResponse:
    """Make a draft."""
    if request.method != "POST":
        rows = arm_rows(initial=FIRST_ARMS)
        return _page(request, ExperimentForm(is_new=True), rows)
    form, rows = ExperimentForm(request.POST, is_new=True), arm_rows(data=request.POST)
    if form.is_valid() and rows.is_valid():
        design = form.design(arms=rows.specs(), base=None)
        try:
            experiment = create_experiment(design=design, at=timezone.now(), actor=_actor(request))
        except InvalidDesign as error:
            form.add_reasons(error.reasons)
        else:
            messages.success(request, _("The draft is stored. Start it when the checklist is done."))
            return redirect("experiments:experiment-detail", key=experiment.key)
    return _page(request, form, rows)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@permission_required("experiments.change_experiment", raise_exception=True)
def experiment_edit(request: HttpRequest, key: str) -> HttpResponse:
    """Change a draft."""
    try:
        base = design_of(experiment_key=key)
    except UnknownExperiment as error:
        raise Http404 from error
    if request.method != "POST":
        if get_status(experiment_key=key) != ExperimentStatus.DRAFT:
            messages.warning(request, _("Only a draft can be changed."))
            return redirect("experiments:experiment-detail", key=key)
        rows = arm_rows(initial=initial_arms(base))
        return _page(request, ExperimentForm(is_new=False, initial=initial_frame(base)), rows, key=key)
    form, rows = ExperimentForm(request.POST, is_new=False), arm_rows(data=request.POST)
    if form.is_valid() and rows.is_valid():
        try:
            revise(
                experiment_key=key,
                design=form.design(arms=rows.specs(), base=base),
                at=timezone.now(),
                actor=_actor(request),
            )
        except (InvalidDesign, CannotTransition) as error:
            form.add_reasons(error.reasons)
        else:
            messages.success(request, _("The draft is changed."))
            return redirect("experiments:experiment-detail", key=key)
    return _page(request, form, rows, key=key)


def _page(request: HttpRequest, form: ExperimentForm, rows: BaseArmRows, *, key: str = "") -> HttpResponse:
    return render(request, "experiments/form.html", {"form": form, "arms": rows, "key": key})


def _actor(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user
