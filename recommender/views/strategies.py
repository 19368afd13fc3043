"""Strategies with their versions, models and changes."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from recommender import selectors
from recommender.errors import CannotPublish
from recommender.forms.people import UserForm
from recommender.models import ModelVersion
from recommender.services.history import version_history
from recommender.services.plots import plots_of
from recommender.services.publishing import publish_model, roll_back
from recommender.tasks import train_strategy
from recommender.views.access import actor_of, strategy_or_404


@login_required
@permission_required("recommender.view_strategy", raise_exception=True)
@require_GET
def strategy_list(request: HttpRequest) -> HttpResponse:
    """All strategies, and the door to one person's page."""
    form = UserForm(request.GET or None, strategies=selectors.list_strategy_choices())
    if form.is_valid():
        return redirect(form.target())
    context = {
        "alarms": selectors.model_alarms(),
        "rows": selectors.list_strategies(),
        "weights": selectors.list_event_weights(),
        "form": form,
    }
    return render(request, "recommender/strategy_list.html", context)


@login_required
@permission_required("recommender.view_strategy", raise_exception=True)
@require_GET
def strategy_detail(request: HttpRequest, slug: str) -> HttpResponse:
    """One strategy: how it works, its models, its changes."""
    strategy = strategy_or_404(slug)
    context = {
        "strategy": strategy,
        "version": strategy.current_version,
        "history": version_history(strategy=strategy),
        "holds": selectors.list_holds(strategy=strategy),
        "models": selectors.list_models(strategy=strategy),
        "can_roll_back": selectors.can_roll_back(strategy=strategy),
        "changes": selectors.list_changes(object_type="strategy", object_id=slug),
    }
    return render(request, "recommender/strategy_detail.html", context)


@login_required
@permission_required("recommender.train_strategy", raise_exception=True)
@require_POST
def strategy_train(request: HttpRequest, slug: str) -> HttpResponse:
    """Asks a worker to train the strategy now."""
    strategy = strategy_or_404(slug)
    transaction.on_commit(lambda: train_strategy.delay(strategy.slug))
    messages.success(request, _("Training of “%(name)s” will start in a moment.") % {"name": strategy.name})
    return redirect("recommender:strategy-detail", slug=slug)


@login_required
@permission_required("recommender.view_strategy", raise_exception=True)
@require_GET
def model_detail(request: HttpRequest, slug: str, model_id: int) -> HttpResponse:
    """Show what a training learned from, and how good its lists are."""
    strategy = strategy_or_404(slug)
    model = get_object_or_404(ModelVersion.objects.select_related("strategy_version"), pk=model_id, strategy=strategy)
    context = {"strategy": strategy, "model": model, "plots": plots_of(model=model)}
    return render(request, "recommender/model_detail.html", context)


@login_required
@permission_required("recommender.train_strategy", raise_exception=True)
@require_http_methods(["GET", "POST"])
def model_publish(request: HttpRequest, slug: str, model_id: int) -> HttpResponse:
    """Confirms, then makes this model the one that serves."""
    strategy = strategy_or_404(slug)
    model = get_object_or_404(ModelVersion, pk=model_id, strategy=strategy)
    if request.method == "GET":
        return render(request, "recommender/confirm.html", {"strategy": strategy, "model": model})
    try:
        publish_model(model_id=model.pk, at=timezone.now(), actor=actor_of(request))
        messages.success(request, _("The model serves from now on."))
    except CannotPublish as error:
        messages.error(request, str(error))
    return redirect("recommender:strategy-detail", slug=slug)


@login_required
@permission_required("recommender.train_strategy", raise_exception=True)
@require_http_methods(["GET", "POST"])
def strategy_roll_back(request: HttpRequest, slug: str) -> HttpResponse:
    """Confirms, then goes back to the model that served before."""
    strategy = strategy_or_404(slug)
    if request.method == "GET":
        return render(request, "recommender/confirm.html", {"strategy": strategy, "model": None})
    try:
        roll_back(slug=slug, at=timezone.now(), actor=actor_of(request))
        messages.success(request, _("The earlier model serves again."))
    except CannotPublish as error:
        messages.error(request, str(error))
    return redirect("recommender:strategy-detail", slug=slug)
