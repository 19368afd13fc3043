"""Building a strategy: the form, the slates beside it, and two strategies side by side."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from recommender import selectors
from recommender.errors import InvalidStrategy, UnknownAlgorithm
from recommender.forms.strategy import StrategyForm, errors_of, initial_of
from recommender.models import Strategy
from recommender.services.strategies import StrategyDesign, create_strategy, design_of, free_slug, revise_strategy
from recommender.services.trials import compare, try_design
from recommender.services.words import describe
from recommender.views.access import actor_of, strategy_or_404

FIRST = StrategyDesign(algorithm="item-knn", fallbacks=("popularity",))


@login_required
@permission_required("recommender.change_strategy", raise_exception=True)
@require_http_methods(["GET", "POST"])
def strategy_new(request: HttpRequest) -> HttpResponse:
    """Make a strategy with its first version."""
    if request.method == "GET":
        return _page(request, _form(None, initial=initial_of(FIRST)), None)
    form = _form(None, request=request)
    if not form.is_valid():
        return _page(request, form, None)
    name = form.cleaned_data["name"]
    try:
        strategy = create_strategy(
            slug=free_slug(name),
            name=name,
            description=form.cleaned_data["description"],
            design=form.design(),
            at=timezone.now(),
            actor=actor_of(request),
        )
    except (InvalidStrategy, UnknownAlgorithm) as error:
        form.add_error(None, str(error))
        return _page(request, form, None)
    messages.success(
        request, _("“%(name)s” is there. It serves its own model after the first training.") % {"name": name}
    )
    return redirect("recommender:strategy-detail", strategy.slug)


@login_required
@permission_required("recommender.change_strategy", raise_exception=True)
@require_http_methods(["GET", "POST"])
def strategy_edit(request: HttpRequest, slug: str) -> HttpResponse:
    """Make the next version of a strategy; running experiments keep theirs."""
    strategy = strategy_or_404(slug)
    assert strategy.current_version is not None  # made with the strategy
    if request.method == "GET":
        return _page(request, _form(strategy, initial=initial_of(design_of(strategy.current_version))), strategy)
    form = _form(strategy, request=request)
    if not form.is_valid():
        return _page(request, form, strategy)
    try:
        version = revise_strategy(slug=slug, design=form.design(), at=timezone.now(), actor=actor_of(request))
    except (InvalidStrategy, UnknownAlgorithm) as error:
        form.add_error(None, str(error))
        return _page(request, form, strategy)
    messages.success(request, _("Version %(number)d is in force.") % {"number": version.number})
    return redirect("recommender:strategy-detail", slug)


@login_required
@permission_required("recommender.change_strategy", raise_exception=True)
@require_POST
def strategy_preview(request: HttpRequest) -> HttpResponse:
    """Answer the half-filled form: the design in words, and what some people would get."""
    strategy = selectors.get_strategy(slug=request.GET.get("strategy", ""))
    form = _form(strategy, request=request)
    context: dict[str, object] = {"errors": {}, "slates": (), "sentences": ()}
    if form.is_valid() or set(form.errors) <= {"name"}:
        try:
            design = form.design()
            slates = try_design(slug=strategy.slug if strategy else "draft", design=design, at=timezone.now())
            context |= {"slates": slates, "sentences": describe(design)}
        except (InvalidStrategy, UnknownAlgorithm) as error:
            context["errors"] = {"": [str(error)]}
    else:
        context["errors"] = errors_of(form)
    return render(request, "recommender/_preview.html", context)


@login_required
@permission_required("recommender.view_strategy", raise_exception=True)
@require_GET
def strategy_compare(request: HttpRequest) -> HttpResponse:
    """Show two strategies side by side, with what the same people would get."""
    choices = selectors.list_strategy_choices()
    slugs = [slug for slug, _name in choices]
    if len(slugs) < 2:
        return render(request, "recommender/compare.html", {"choices": choices, "pair": None})
    left, right = request.GET.get("left", slugs[0]), request.GET.get("right", slugs[1])
    if left not in slugs or right not in slugs:
        raise Http404
    names = dict(choices)
    context = {
        "choices": choices,
        "left": left,
        "right": right,
        "names": (names[left], names[right]),
        "pair": compare(slugs=(left, right), at=timezone.now()),
    }
    return render(request, "recommender/compare.html", context)


def _form(
    strategy: Strategy | None, *, request: HttpRequest | None = None, initial: dict[str, object] | None = None
) -> StrategyForm:
    others = [
        (slug, name) for slug, name in selectors.list_strategy_choices() if strategy is None or slug != strategy.slug
    ]
    data = request.POST if request else None
    return StrategyForm(data, initial=initial, strategies=others, is_new=strategy is None)


def _page(request: HttpRequest, form: StrategyForm, strategy: Strategy | None) -> HttpResponse:
    holds = selectors.list_holds(strategy=strategy) if strategy else ()
    context = {"form": form, "strategy": strategy, "holds": holds}
    return render(request, "recommender/strategy_form.html", context, status=422 if form.is_bound else 200)
