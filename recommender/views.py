"""Pages: strategies with their models, and what one person gets and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from recommender import selectors
from recommender.errors import CannotPublish
from recommender.forms import UserForm
from recommender.models import ModelVersion, Strategy
from recommender.services.inspection import inspect_user
from recommender.services.publishing import publish_model, roll_back
from recommender.tasks import train_strategy

if TYPE_CHECKING:
    from django.contrib.auth.models import User


@login_required
@permission_required("recommender.view_strategy", raise_exception=True)
@require_GET
def strategy_list(request: HttpRequest) -> HttpResponse:
    """All strategies, and the door to one person's page."""
    form = UserForm(request.GET or None, strategies=selectors.list_strategy_choices())
    if form.is_valid():
        return redirect(form.target())
    context = {"rows": selectors.list_strategies(), "weights": selectors.list_event_weights(), "form": form}
    return render(request, "recommender/strategy_list.html", context)


@login_required
@permission_required("recommender.view_strategy", raise_exception=True)
@require_GET
def strategy_detail(request: HttpRequest, slug: str) -> HttpResponse:
    """One strategy: how it works, its models, its changes."""
    strategy = _strategy(slug)
    context = {
        "strategy": strategy,
        "version": strategy.current_version,
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
    strategy = _strategy(slug)
    transaction.on_commit(lambda: train_strategy.delay(strategy.slug))
    messages.success(request, _("Training of “%(name)s” will start in a moment.") % {"name": strategy.name})
    return redirect("recommender:strategy-detail", slug=slug)


@login_required
@permission_required("recommender.train_strategy", raise_exception=True)
@require_http_methods(["GET", "POST"])
def model_publish(request: HttpRequest, slug: str, model_id: int) -> HttpResponse:
    """Confirms, then makes this model the one that serves."""
    strategy = _strategy(slug)
    model = get_object_or_404(ModelVersion, pk=model_id, strategy=strategy)
    if request.method == "GET":
        return render(request, "recommender/confirm.html", {"strategy": strategy, "model": model})
    try:
        publish_model(model_id=model.pk, at=timezone.now(), actor=_user(request))
        messages.success(request, _("The model serves from now on."))
    except CannotPublish as error:
        messages.error(request, str(error))
    return redirect("recommender:strategy-detail", slug=slug)


@login_required
@permission_required("recommender.train_strategy", raise_exception=True)
@require_http_methods(["GET", "POST"])
def strategy_roll_back(request: HttpRequest, slug: str) -> HttpResponse:
    """Confirms, then goes back to the model that served before."""
    strategy = _strategy(slug)
    if request.method == "GET":
        return render(request, "recommender/confirm.html", {"strategy": strategy, "model": None})
    try:
        roll_back(slug=slug, at=timezone.now(), actor=_user(request))
        messages.success(request, _("The earlier model serves again."))
    except CannotPublish as error:
        messages.error(request, str(error))
    return redirect("recommender:strategy-detail", slug=slug)


@login_required
@permission_required("recommender.view_strategy", raise_exception=True)
@require_GET
def user_detail(request: HttpRequest, user_id: str) -> HttpResponse:
    """History, the slate this person would get now with its reasons, and the slates they got."""
    choices = selectors.list_strategy_choices()
    slug = request.GET.get("strategy") or (choices[0][0] if choices else "")
    if slug not in dict(choices):
        raise Http404
    page = inspect_user(user_id=user_id, strategy=slug, at=timezone.now())
    return render(request, "recommender/user_detail.html", {"page": page, "choices": choices, "slug": slug})


def _strategy(slug: str) -> Strategy:
    strategy = selectors.get_strategy(slug=slug)
    if strategy is None:
        raise Http404
    return strategy


def _user(request: HttpRequest) -> User:
    user = request.user
    assert user.is_authenticated  # the decorators let nobody else in
    return user
