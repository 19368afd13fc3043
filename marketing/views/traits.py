"""The traits of this installation: the list, and declaring one."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from marketing.errors import CannotDeclareTrait
from marketing.forms.traits import TraitForm
from marketing.selectors.traits import latest_run, list_traits
from marketing.services.portrait.definitions import define_trait


@login_required
@permission_required("marketing.view_profile", raise_exception=True)
@require_GET
def trait_list(request: HttpRequest) -> HttpResponse:
    """List the traits with how they are made and of how many people they are known."""
    return render(request, "marketing/traits/list.html", {"traits": list_traits(), "run": latest_run()})


@login_required
@permission_required("marketing.add_traitdefinition", raise_exception=True)
@require_http_methods(["GET", "POST"])
def trait_new(request: HttpRequest) -> HttpResponse:
    """Declare a trait."""
    form = TraitForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        assert isinstance(request.user, User)  # signed in
        try:
            definition = define_trait(**form.wish(), at=timezone.now(), actor=request.user)
        except CannotDeclareTrait as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, _("The trait “%(name)s” is declared.") % {"name": definition.name})
            return redirect("marketing:trait-list")
    return render(request, "marketing/traits/form.html", {"form": form}, status=422 if form.is_bound else 200)
