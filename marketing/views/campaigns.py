"""Campaigns in the back office: list, the one form, the campaign with its live result, transitions."""

from __future__ import annotations

from typing import Final

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.contrib.auth.models import User
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from experiments.selectors import get_results
from marketing.choices import CampaignKind, CampaignStatus
from marketing.errors import CannotTransition, InvalidCampaign, UnknownCampaign
from marketing.forms.arms import BaseArms, arm_rows, first_arms
from marketing.forms.campaigns import CampaignForm, draft_from, initial_of
from marketing.models import Campaign
from marketing.selectors.campaigns import (
    activity,
    described_arms,
    get_campaign,
    list_campaigns,
    outside_counts,
    page_config,
)
from marketing.selectors.collisions import campaign_collisions
from marketing.selectors.dashboard import (
    card_of,
    cards_of,
    funnel,
    mail_funnel,
    retention,
    shown_arm,
    status_counts,
)
from marketing.selectors.economics import economics_of
from marketing.selectors.recommendations import campaign_recommendations
from marketing.selectors.reviews import is_review_required
from marketing.selectors.segments import event_names
from marketing.selectors.sending import sending_of
from marketing.services import lifecycle
from marketing.services.advice import advise
from marketing.services.audience import reachable
from marketing.services.campaigns import DEFAULT_PURPOSES, create_campaign, draft_of, revise_campaign
from marketing.services.checks import launch_checks, sample_size
from marketing.services.previews import preview_draft, seats
from marketing.services.sending import outbox

PER_PAGE = 25

LEADS_TO_LAUNCH: Final = ("launch", "schedule", "submit", "approve")
"""Transitions before which a person looks at what the campaign would run beside."""


@login_required
@permission_required("marketing.view_campaign", raise_exception=True)
@require_GET
def campaign_list(request: HttpRequest) -> HttpResponse:
    """List campaigns with their state and verdict."""
    status = request.GET.get("status", "")
    counts = status_counts()
    page = Paginator(list_campaigns(status=status), PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "cards": cards_of(list(page.object_list)),
        "status": status,
        "counts": [(choice, counts[choice.value]) for choice in CampaignStatus],
    }
    return render(request, "marketing/campaigns/list.html", context)


@login_required
@permission_required("marketing.add_campaign", raise_exception=True)
@require_http_methods(["GET", "POST"])
def campaign_create(request: HttpRequest) -> HttpResponse:
    """Make a campaign on one form."""
    if request.method == "GET":
        kind = CampaignKind.EMAIL if request.GET.get("kind") == CampaignKind.EMAIL else CampaignKind.PAGE
        fields = {"kind": kind.value, "consent_purposes": list(DEFAULT_PURPOSES), "goal_metric": "conversion"}
        return _form_page(request, CampaignForm(initial=fields), arm_rows(initial=first_arms(kind=kind)))
    form, arms = CampaignForm(request.POST), arm_rows(data=request.POST)
    if not (form.is_valid() and arms.is_valid()):
        return _form_page(request, form, arms)
    try:
        campaign = create_campaign(draft=draft_from(form=form, arms=arms), at=timezone.now(), actor=_actor(request))
    except InvalidCampaign as error:
        form.add_error(None, str(error))
        return _form_page(request, form, arms)
    return _stored(request, campaign)


@login_required
@permission_required("marketing.change_campaign", raise_exception=True)
@require_http_methods(["GET", "POST"])
def campaign_edit(request: HttpRequest, slug: str) -> HttpResponse:
    """Change a draft."""
    campaign = _campaign(slug)
    if request.method == "GET":
        fields, rows = initial_of(draft_of(campaign=campaign))
        return _form_page(request, CampaignForm(initial=fields), arm_rows(initial=rows), campaign)
    form, arms = CampaignForm(request.POST), arm_rows(data=request.POST)
    if not (form.is_valid() and arms.is_valid()):
        return _form_page(request, form, arms, campaign)
    draft = draft_from(form=form, arms=arms, slug=slug)
    try:
        revise_campaign(campaign_id=campaign.pk, draft=draft, at=timezone.now(), actor=_actor(request))
    except (InvalidCampaign, CannotTransition) as error:
        form.add_error(None, str(error))
        return _form_page(request, form, arms, campaign)
    return _stored(request, _campaign(slug))


@login_required
@permission_required("marketing.add_campaign", raise_exception=True)
@require_POST
def campaign_panel(request: HttpRequest) -> HttpResponse:
    """Answer the half-filled form: how many people, what is missing, how each arm looks."""
    form, arms = CampaignForm(request.POST), arm_rows(data=request.POST)
    form.is_valid()
    arms.is_valid()
    draft = draft_from(form=form, arms=arms)
    context = {
        "size": sample_size(draft=draft),
        "checks": launch_checks(draft=draft),
        "advice": advise(draft=draft),
        "previews": preview_draft(draft=draft, at=timezone.now()),
    }
    return render(request, "marketing/campaigns/_panel.html", context)


@login_required
@permission_required("marketing.view_campaign", raise_exception=True)
@require_GET
def campaign_detail(request: HttpRequest, slug: str) -> HttpResponse:
    """Show a campaign with its live result."""
    campaign = _campaign(slug)
    context = {
        **_result(campaign),
        "rows": described_arms(campaign=campaign),
        "reach": reachable(segment_id=campaign.segment_id, purposes=tuple(campaign.consent_purposes)),
        "outside": outside_counts(campaign=campaign),
        "recommendations": campaign_recommendations(campaign=campaign),
        "activity": activity(campaign=campaign),
        "transitions": lifecycle.available(campaign=campaign),
        **_readiness(campaign),
        "seats": seats(campaign=page_config(slug=slug), at=timezone.now()) if campaign.is_demo else (),
    }
    return render(request, "marketing/campaigns/detail.html", context)


@login_required
@permission_required("marketing.launch_campaign", raise_exception=True)
@require_POST
def campaign_resolve(request: HttpRequest, slug: str) -> HttpResponse:
    """Settle the messages of which nobody knows whether they went: they did, or they are sent again."""
    was_sent = request.POST.get("answer") != "resend"
    ids = [int(value) for value in request.POST.getlist("delivery") if value.isdigit()]
    n = outbox.resolve(campaign_id=_campaign(slug).pk, ids=ids, was_sent=was_sent, at=timezone.now())
    messages.success(request, ngettext("%(n)s message is settled.", "%(n)s messages are settled.", n) % {"n": n})
    return redirect("marketing:campaign-detail", slug)


@login_required
@permission_required("marketing.view_campaign", raise_exception=True)
@require_GET
def campaign_result(request: HttpRequest, slug: str) -> HttpResponse:
    """Return the part of the page that changes by itself."""
    return render(request, "marketing/campaigns/_result.html", _result(_campaign(slug)))


@login_required
@permission_required("marketing.launch_campaign", raise_exception=True)
@require_http_methods(["GET", "POST"])
def campaign_transition(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """Ask (GET), then launch, pause, resume, finish, stop or archive (POST)."""
    campaign = _campaign(slug)
    rule = lifecycle.TRANSITIONS.get(name)
    if rule is None:
        raise Http404
    reasons: tuple[str, ...] = ()
    if request.method == "POST":
        try:
            lifecycle.ACTIONS[name](
                campaign_id=campaign.pk,
                at=timezone.now(),
                actor=_actor(request),
                message=request.POST.get("message", "")[:500],
            )
        except CannotTransition as error:
            reasons = error.reasons
        else:
            messages.success(request, _("Done: %(action)s.") % {"action": rule.label})
            return redirect("marketing:campaign-detail", slug)
    else:
        reasons = tuple(lifecycle.what_blocks(campaign=campaign, name=name, at=timezone.now(), actor=_actor(request)))
    context = {
        "campaign": campaign,
        "rule": rule,
        "reasons": reasons,
        "rows": described_arms(campaign=campaign),
        "collisions": campaign_collisions(campaign=campaign) if name in LEADS_TO_LAUNCH else (),
    }
    return render(request, "marketing/campaigns/confirm.html", context, status=409 if request.method == "POST" else 200)


def _readiness(campaign: Campaign) -> dict[str, object]:
    """What a draft's launch needs, and what it would run beside."""
    if campaign.status != CampaignStatus.DRAFT:
        return {}
    return {
        "checks": launch_checks(draft=draft_of(campaign=campaign)),
        "collisions": campaign_collisions(campaign=campaign),
    }


def _campaign(slug: str) -> Campaign:
    try:
        return get_campaign(slug=slug)
    except UnknownCampaign as error:
        raise Http404 from error


def _actor(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # login_required stands before every caller
    return request.user


def _stored(request: HttpRequest, campaign: Campaign) -> HttpResponse:
    """Go on: to the request for a review, to the launch question, or to the campaign."""
    if "launch" in request.POST and request.user.has_perm("marketing.launch_campaign"):
        if is_review_required():
            return redirect("marketing:campaign-transition", campaign.slug, "submit")
        starts_later = campaign.starts_at is not None and campaign.starts_at > timezone.now()
        return redirect("marketing:campaign-transition", campaign.slug, "schedule" if starts_later else "launch")
    messages.success(request, _("The draft is saved."))
    return redirect("marketing:campaign-detail", campaign.slug)


def _form_page(
    request: HttpRequest, form: CampaignForm, arms: BaseArms, campaign: Campaign | None = None
) -> HttpResponse:
    is_mail = form["kind"].value() == CampaignKind.EMAIL
    context = {
        "form": form,
        "arms": arms,
        "campaign": campaign,
        "is_mail": is_mail,
        "event_names": event_names() if is_mail else (),
        "is_review_required": is_review_required(),
    }
    return render(request, "marketing/campaigns/form.html", context, status=422 if form.is_bound else 200)


def _result(campaign: Campaign) -> dict[str, object]:
    key = campaign.experiment_key
    card = card_of(campaign)
    sending = sending_of(campaign=campaign) if campaign.kind == CampaignKind.EMAIL else None
    rows = funnel(campaign=campaign, report=card.report)
    return {
        "campaign": campaign,
        "sending": sending,
        "mail_funnel": mail_funnel(rows=rows, sending=sending),
        "economics": economics_of(campaign=campaign, report=card.report),
        "retention": retention(report=card.report),
        "report": card.report,
        "results": get_results(experiment_key=key) if key else None,
        "card": card,
        "shown_arm": shown_arm(card=card, rows=rows),
        "funnel": rows,
        "is_live": campaign.status == CampaignStatus.RUNNING,
    }
