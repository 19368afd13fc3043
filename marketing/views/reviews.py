"""The review by a second person: what it looks at, what changed before, and whether it is needed at all."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from marketing.errors import CannotSwitchReview, UnknownCampaign
from marketing.forms.reviews import ReviewPolicyForm
from marketing.selectors.campaigns import get_campaign
from marketing.selectors.reviews import change_of, is_review_required, policy_log, review_of, review_policy
from marketing.services import lifecycle
from marketing.services.advice import advise
from marketing.services.affected import affected
from marketing.services.campaigns import draft_of, snapshot_of
from marketing.services.checks import launch_checks
from marketing.services.previews import preview_draft
from marketing.services.reviews import switch_review


@login_required
@permission_required("marketing.view_campaign", raise_exception=True)
@require_GET
def campaign_review(request: HttpRequest, slug: str) -> HttpResponse:
    """Show what changes, for how many people, and how each arm looks; whoever may, approves or sends it back."""
    try:
        campaign = get_campaign(slug=slug)
    except UnknownCampaign as error:
        raise Http404 from error
    now, draft = timezone.now(), draft_of(campaign=campaign)
    actor = request.user if isinstance(request.user, User) else None
    context = {
        "campaign": campaign,
        "review": review_of(campaign=campaign, snapshot=snapshot_of(campaign=campaign)),
        "affected": affected(draft=draft),
        "checks": launch_checks(draft=draft),
        "advice": advise(draft=draft),
        "previews": preview_draft(draft=draft, at=now),
        "transitions": [rule for rule in lifecycle.available(campaign=campaign) if rule.name in REVIEWING],
        "why_not": lifecycle.what_blocks(campaign=campaign, name="approve", at=now, actor=actor),
        "is_required": is_review_required(),
    }
    return render(request, "marketing/campaigns/review.html", context)


REVIEWING = ("approve", "send_back", "withdraw", "submit")


@login_required
@permission_required("marketing.view_campaign", raise_exception=True)
@require_GET
def campaign_change(request: HttpRequest, slug: str, change_id: int) -> HttpResponse:
    """Show one row of the change log: what it changed, and everything as it stood then."""
    try:
        campaign = get_campaign(slug=slug)
        change = change_of(campaign=campaign, change_id=change_id)
    except UnknownCampaign as error:
        raise Http404 from error
    return render(request, "marketing/campaigns/change.html", {"campaign": campaign, "change": change})


@login_required
@permission_required("marketing.view_campaign", raise_exception=True)
@require_http_methods(["GET", "POST"])
def policy(request: HttpRequest) -> HttpResponse:
    """Say whether a second person must approve campaigns; whoever may, switches it."""
    may_switch = request.user.has_perm("marketing.change_reviewpolicy")
    form = ReviewPolicyForm(request.POST or None)
    if request.method == "POST":
        if not may_switch or not isinstance(request.user, User):
            return HttpResponse(_("Ask an operator: you may not switch the review."), status=403)
        if form.is_valid():
            try:
                switch_review(**form.cleaned_data, at=timezone.now(), actor=request.user)
            except CannotSwitchReview as error:
                form.add_error("reason", str(error))
            else:
                messages.success(request, _("The review is switched."))
                return redirect("marketing:review-policy")
    context = {
        "form": form,
        "policy": review_policy(),
        "is_required": is_review_required(),
        "log": policy_log(),
        "may_switch": may_switch,
    }
    return render(request, "marketing/campaigns/review_policy.html", context, status=422 if form.errors else 200)
