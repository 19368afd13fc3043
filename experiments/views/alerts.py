"""Alerts, who is told of them, and the links of the weekly digest."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from experiments.errors import InvalidDesign, UnknownExperiment
from experiments.forms.alerts import DigestForm, RecipientForm
from experiments.selectors.alerts import list_alerts, list_readers, list_recipients
from experiments.services import digest, recipients

VIEW = "experiments.view_experiment"
CHANGE = "experiments.change_recipient"


@require_safe
@login_required
@permission_required(VIEW, raise_exception=True)
def alert_list(request: HttpRequest) -> HttpResponse:
    """What happened, who is told, who reads the digest."""
    return _page(request, RecipientForm(), DigestForm())


@require_POST
@login_required
@permission_required(CHANGE, raise_exception=True)
def recipient_add(request: HttpRequest) -> HttpResponse:
    """Tell an address of alerts; the secret of a webhook is shown once, here."""
    form = RecipientForm(request.POST)
    if not form.is_valid():
        return _page(request, form, DigestForm(), status=422)
    try:
        recipient = recipients.add_recipient(**form.values(), at=timezone.now(), actor=_actor(request))
    except InvalidDesign as error:
        form.add_error("address", [str(reason) for reason in error.reasons])
        return _page(request, form, DigestForm(), status=422)
    except UnknownExperiment as error:
        form.add_error("experiment", str(error))
        return _page(request, form, DigestForm(), status=422)
    messages.success(request, _("%(address)s is told of alerts from now on.") % {"address": recipient.address})
    if recipient.kind == "webhook":
        secret = recipients.signing_secret(recipient)
        messages.info(request, _("The signing secret, shown this once: %(secret)s") % {"secret": secret})
    return redirect("experiments:alert-list")


@require_POST
@login_required
@permission_required(CHANGE, raise_exception=True)
def recipient_remove(request: HttpRequest, recipient_id: int) -> HttpResponse:
    """Tell an address nothing more."""
    if recipients.remove_recipient(recipient_id=recipient_id):
        messages.success(request, _("The address is told nothing more."))
    return redirect("experiments:alert-list")


@require_POST
@login_required
@permission_required(CHANGE, raise_exception=True)
def digest_invite(request: HttpRequest) -> HttpResponse:
    """Ask somebody without an account whether they want the digest."""
    form = DigestForm(request.POST)
    if not form.is_valid():
        return _page(request, RecipientForm(), form, status=422)
    try:
        reader = digest.invite(
            address=form.cleaned_data["address"],
            at=timezone.now(),
            language=getattr(request, "LANGUAGE_CODE", "en"),
            actor=_actor(request),
        )
    except InvalidDesign as error:
        form.add_error("address", [str(reason) for reason in error.reasons])
        return _page(request, RecipientForm(), form, status=422)
    messages.success(request, _("An invitation goes to %(address)s.") % {"address": reader.address})
    return redirect("experiments:alert-list")


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def digest_confirm(request: HttpRequest, token: str) -> HttpResponse:
    """Ask (mail scanners open links), and confirm on the button."""
    found = digest.subscription_of(token=token, purpose="confirm")
    if request.method == "POST" and digest.confirm(token=token, at=timezone.now()):
        return render(request, "experiments/alerts/link.html", {"state": "confirmed"})
    if found is None or found.ended_at is not None:
        return render(request, "experiments/alerts/link.html", {"state": "void"}, status=410)
    return render(request, "experiments/alerts/link.html", {"state": "ask_confirm", "address": found.address})


@csrf_exempt  # mail programs post without a session (RFC 8058); the signed token is the right
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def digest_unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """Ask, and end the digest on the button or on a mail program's one click."""
    found = digest.subscription_of(token=token, purpose="unsubscribe")
    if found is None:
        return render(request, "experiments/alerts/link.html", {"state": "void"}, status=410)
    if request.method == "POST":
        digest.unsubscribe(token=token, at=timezone.now())
        return render(request, "experiments/alerts/link.html", {"state": "unsubscribed"})
    return render(request, "experiments/alerts/link.html", {"state": "ask_unsubscribe", "address": found.address})


def _actor(request: HttpRequest) -> User | None:
    return request.user if isinstance(request.user, User) else None


def _page(
    request: HttpRequest, recipient_form: RecipientForm, digest_form: DigestForm, status: int = 200
) -> HttpResponse:
    context = {
        "alerts": list_alerts(),
        "recipients": list_recipients(),
        "readers": list_readers(),
        "recipient_form": recipient_form,
        "digest_form": digest_form,
        "can_change": request.user.has_perm(CHANGE),
    }
    return render(request, "experiments/alerts/list.html", context, status=status)
