"""The demo shop: somewhere for clicks to land, with views, orders and the consent question."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required, permission_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from marketing.errors import UnknownVisitor
from marketing.forms.consent import CONSENT_TEXT, ConsentForm
from marketing.selectors.visitors import find_demo_person
from marketing.services.tracking import choose_consent, honor_signal, record_order, record_view
from marketing.views.public import frame
from marketing.views.visitor import play, remember_choice, remember_visitor, visitor_of
from recommender.selectors import get_item, list_categories, list_items

ITEMS_SHOWN = 48


@never_cache
@require_safe
def shop(request: HttpRequest) -> HttpResponse:
    """Show the catalogue."""
    category = request.GET.get("category", "")
    context = {
        "items": list_items(category=category, limit=ITEMS_SHOWN, offset=0),
        "category": category,
        "categories": list_categories(),
        **frame(request),
    }
    return render(request, "marketing/experience/shop.html", context)


@never_cache
@require_safe
def item(request: HttpRequest, item_id: str) -> HttpResponse:
    """Show one item and store the view of a person who allowed that."""
    found = get_item(item_id=item_id)
    if found is None:
        raise Http404
    visitor = visitor_of(request)
    if visitor.opts_out:
        honor_signal(visitor=visitor, at=timezone.now())
    record_view(item_id=item_id, visitor=visitor, at=timezone.now())
    context = {
        "item": found,
        "order_id": request.GET.get("order", ""),
        **frame(request),
    }
    return render(request, "marketing/experience/item.html", context)


@require_POST
def buy(request: HttpRequest, item_id: str) -> HttpResponse:
    """Order one item (a demo: no money moves)."""
    try:
        order_id = record_order(item_id=item_id, visitor=visitor_of(request), at=timezone.now())
    except UnknownVisitor as error:
        raise Http404 from error
    return redirect(f"{reverse('marketing:shop-item', args=[item_id])}?order={order_id}")


@require_POST
def consent(request: HttpRequest) -> HttpResponse:
    """Store the answer to the consent question; without a yes nothing is stored and no name is given."""
    form = ConsentForm(request.POST)
    visitor = visitor_of(request)
    purposes = form.purposes() if form.is_valid() and not visitor.opts_out else frozenset()
    anonymous_id = choose_consent(visitor=visitor, purposes=purposes, text=str(CONSENT_TEXT), at=timezone.now())
    response = redirect(_next(request))
    remember_visitor(response, anonymous_id)
    remember_choice(response)
    return response


@login_required
@permission_required("marketing.view_profile", raise_exception=True)
@require_POST
def be(request: HttpRequest) -> HttpResponse:
    """Play a person of the demo world, or stop (no `profile`)."""
    wanted = request.POST.get("profile", "")
    profile_id = find_demo_person(wanted=wanted) if wanted else None
    if wanted and profile_id is None:
        raise Http404
    response = redirect(_next(request))
    play(response, profile_id)
    return response


def _next(request: HttpRequest) -> str:
    """Return where the form wants to go back to, if that is on this host."""
    wanted = request.POST.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(wanted, allowed_hosts={request.get_host()}, require_https=False)
    return wanted if is_ours else reverse("marketing:shop")
