"""What people see and decide about their own data, by a signed link or in a browser that we know. Nobody signs in."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_safe

from marketing import tasks
from marketing.forms.preferences import AddressForm, PreferencesForm, words
from marketing.selectors.consent import data_request, data_requests, said, unconfirmed
from marketing.services import answers
from marketing.services.confirmation import confirm_email, may_confirm
from marketing.services.preferences import Bearer, choose, current_choice, path_of_visitor, read_link
from marketing.services.privacy import erase_profile
from marketing.views.visitor import play, remember_visitor, visitor_of

Page = Callable[..., HttpResponseBase]


def bearer_only(*, needs_rights: bool = False) -> Callable[[Page], Callable[..., HttpResponseBase]]:
    """Let in who holds a link that is ours; what is wrong with another one is told to nobody.

    A link of a message leads to the page that sends a fresh one wherever more than preferences is asked for.
    """

    def decorate(page: Page) -> Callable[..., HttpResponseBase]:
        @wraps(page)
        def guarded(request: HttpRequest, token: str, **more: Any) -> HttpResponseBase:
            bearer = read_link(token=token)
            if bearer is None:
                raise Http404
            if needs_rights and not bearer.has_rights:
                response: HttpResponseBase = redirect("marketing:me-link")
            else:
                response = page(request, bearer, token, **more)
            # Not "no-referrer": with it a browser says `Origin: null` of these very forms, and they are refused.
            response["Referrer-Policy"] = "same-origin"
            return response

        return guarded

    return decorate


@never_cache
@require_safe
def start(request: HttpRequest) -> HttpResponse:
    """Lead a browser that we know to its person's page, everybody else to the form that sends a link."""
    path = path_of_visitor(visitor=visitor_of(request))
    return redirect(path) if path else redirect("marketing:me-link")


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def link(request: HttpRequest) -> HttpResponse:
    """Send a fresh link to an address. The answer is the same whether anybody has it."""
    form = AddressForm(request.POST or None)
    is_sent = request.method == "POST" and form.is_valid()
    if is_sent:
        send = partial(tasks.send_preference_link.delay, form.cleaned_data["email"])
        transaction.on_commit(send)
    return render(request, "marketing/person/link.html", {"form": form, "is_sent": is_sent})


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@bearer_only()
def preferences(request: HttpRequest, bearer: Bearer, token: str) -> HttpResponse:
    """Show what is in force and store what is chosen; a no is as near as a yes."""
    form = PreferencesForm.of(current_choice(profile_id=bearer.profile_id))
    if request.method == "POST":
        form = PreferencesForm(request.POST)
        if form.is_valid():
            choose(
                profile_id=bearer.profile_id,
                choice=form.choice(),
                texts=words(),
                at=timezone.now(),
                reads_mailbox=bearer.reads_mailbox,
            )
            messages.success(request, _("Saved. It holds from now on."))
            if unconfirmed(profile_id=bearer.profile_id) is not None:
                transaction.on_commit(partial(tasks.send_confirmation.delay, bearer.profile_id))
                messages.info(request, _("E-mail comes only after you have followed the link that we send you now."))
            return redirect("marketing:me", token=token)
    return render(request, "marketing/person/preferences.html", {"form": form, "token": token, "bearer": bearer})


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def confirm(request: HttpRequest, token: str) -> HttpResponse:
    """Ask (GET: mail scanners open every link), and take the yes to e-mail (POST)."""
    is_done = request.method == "POST" and confirm_email(token=token, at=timezone.now())
    if not is_done and not may_confirm(token=token):
        raise Http404
    response = render(request, "marketing/person/confirm.html", {"is_done": is_done})
    response["Referrer-Policy"] = "same-origin"
    return response


@never_cache
@require_safe
@bearer_only()
def history(request: HttpRequest, bearer: Bearer, token: str) -> HttpResponse:
    """Show everything that the person ever agreed to or refused, with the words."""
    context = {"said": said(profile_id=bearer.profile_id), "token": token, "bearer": bearer}
    return render(request, "marketing/person/history.html", context)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@bearer_only(needs_rights=True)
def data(request: HttpRequest, bearer: Bearer, token: str) -> HttpResponse:
    """Show the requests for a copy of the data, and take one."""
    if request.method == "POST":
        answers.ask(profile_id=bearer.profile_id, at=timezone.now())
        transaction.on_commit(tasks.answer_data_requests.delay)
        return redirect("marketing:me-data", token=token)
    context = {"requests": data_requests(profile_id=bearer.profile_id), "token": token, "bearer": bearer}
    return render(request, "marketing/person/data.html", context)


@never_cache
@require_GET
@bearer_only(needs_rights=True)
def download(request: HttpRequest, bearer: Bearer, token: str, name: str) -> HttpResponseBase:
    """Hand out the answer to one request."""
    found = data_request(profile_id=bearer.profile_id, token=name)
    path = None if found is None else answers.path_of(found)
    if path is None or not path.is_file():
        raise Http404
    return FileResponse(path.open("rb"), as_attachment=True, filename="my-data.zip")


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@bearer_only(needs_rights=True)
def erase(request: HttpRequest, bearer: Bearer, token: str) -> HttpResponse:
    """Ask, and delete on POST. There is no way back."""
    if request.method != "POST" or request.POST.get("sure") != "yes":
        context = {"token": token, "bearer": bearer, "was_unsure": request.method == "POST"}
        return render(request, "marketing/person/erase.html", context)
    erase_profile(profile_id=bearer.profile_id, at=timezone.now())
    response = redirect("marketing:me-erased")
    remember_visitor(response, "")
    play(response, None)
    return response


@never_cache
@require_safe
def erased(request: HttpRequest) -> HttpResponse:
    """Say what was done, to nobody in particular."""
    return render(request, "marketing/person/erased.html")
