"""Who sends: the list, and the one form."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from marketing.forms.senders import SenderForm
from marketing.models import Sender
from marketing.services.domain_words import say_findings
from marketing.services.sending.domains import check_sender


@login_required
@permission_required("marketing.view_campaign", raise_exception=True)
@require_GET
def sender_list(request: HttpRequest) -> HttpResponse:
    """List the senders; an installation has a handful."""
    cards = [
        (sender, say_findings(findings=sender.domain_findings)) for sender in Sender.objects.order_by("name", "pk")
    ]
    return render(request, "marketing/senders/list.html", {"cards": cards})


@login_required
@permission_required("marketing.change_sender", raise_exception=True)
@require_POST
def sender_check(request: HttpRequest, sender_id: int) -> HttpResponse:
    """Ask the DNS about a sender's domain now."""
    sender = get_object_or_404(Sender, pk=sender_id)
    if not check_sender(sender_id=sender.pk, at=timezone.now()):
        messages.warning(request, _("The name servers did not answer: nothing could be looked up."))
    return redirect("marketing:sender-list")


@login_required
@permission_required("marketing.change_sender", raise_exception=True)
@require_http_methods(["GET", "POST"])
def sender_edit(request: HttpRequest, sender_id: int | None = None) -> HttpResponse:
    """Add a sender, or change one."""
    sender = None if sender_id is None else get_object_or_404(Sender, pk=sender_id)
    form = SenderForm(request.POST or None, instance=sender)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, _("The sender is saved."))
        return redirect("marketing:sender-list")
    return render(request, "marketing/senders/form.html", {"form": form}, status=422 if form.is_bound else 200)
