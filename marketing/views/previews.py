"""Arms before anybody sees them: as one person would, on a desk or a phone, and as a test message to oneself."""

from __future__ import annotations

from csp.constants import NONE, SELF
from csp.decorators import csp
from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_GET, require_POST

from marketing.choices import CampaignKind
from marketing.errors import CannotSendTest, UnknownCampaign
from marketing.models import Campaign, CampaignArm, Profile
from marketing.selectors.campaigns import arm_config, arms_of, get_campaign, page_config
from marketing.selectors.preview_people import find_for_preview, people_to_preview
from marketing.services.advice import advise_on_size
from marketing.services.experience import preview
from marketing.services.sending.preview import preview_mail, send_test
from marketing.services.tracking import shown_items

WIDTHS = {"phone": 375, "desk": 700}
FRAME = {
    "default-src": [NONE],
    "style-src": ["'unsafe-inline'"],
    "img-src": [SELF, "data:", "https:", "http:"],
    "frame-ancestors": [SELF],
    "form-action": [NONE],
    "base-uri": [NONE],
}
"""A message styles itself where it stands, as mailboxes ask; in the frame nothing of it can run or navigate."""


@login_required
@permission_required("marketing.view_campaign", raise_exception=True)
@require_GET
def campaign_preview(request: HttpRequest, slug: str, arm_key: str) -> HttpResponse:
    """Show one arm as a person (or a stranger) would see it; nothing is recorded."""
    campaign, arm = _arm(slug, arm_key)
    person, problem = _person(request)
    context = {
        "campaign": campaign,
        "arms": arms_of(campaign=campaign),
        "key": arm.key,
        "person": person,
        "problem": problem,
        "people": people_to_preview(segment_id=campaign.segment_id) if _may_see_people(request) else (),
    }
    if campaign.kind == CampaignKind.PAGE:
        seen = preview(
            arm=arm_config(arm).in_language(person.language if person is not None else ""),
            campaign=page_config(slug=slug),
            profile_id=person.pk if person is not None else None,
            at=timezone.now(),
        )
        context |= {"arm": seen.arm, "items": shown_items(experience=seen)}
        return render(request, "marketing/campaigns/preview.html", context)
    found = preview_mail(campaign=campaign, arm_key=arm.key, profile=person, at=timezone.now())
    width = request.GET.get("width", "desk")
    context |= {
        "arm": arm_config(arm),
        "found": found,
        "advice": advise_on_size(arm=arm.name, html=found.mail.html) if found.mail is not None else (),
        "width": width if width in WIDTHS else "desk",
        "widths": ((("desk"), _("Desk")), (("phone"), _("Phone"))),
    }
    return render(request, "marketing/campaigns/preview_mail.html", context)


@login_required
@permission_required("marketing.view_campaign", raise_exception=True)
@require_GET
@xframe_options_sameorigin
@csp(FRAME)  # type: ignore[arg-type]  # its stub knows views without arguments only
def campaign_preview_frame(request: HttpRequest, slug: str, arm_key: str) -> HttpResponse:
    """Return the message itself, for the frame of the preview."""
    campaign, arm = _arm(slug, arm_key)
    person, _problem = _person(request)
    found = preview_mail(campaign=campaign, arm_key=arm.key, profile=person, at=timezone.now())
    if found.mail is None:
        raise Http404
    return HttpResponse(found.mail.html)


@login_required
@permission_required("marketing.change_campaign", raise_exception=True)
@require_POST
def campaign_test_send(request: HttpRequest, slug: str, arm_key: str) -> HttpResponse:
    """Send an arm's message to whoever asks, marked as a test."""
    campaign, arm = _arm(slug, arm_key)
    person, _problem = _person(request)
    assert isinstance(request.user, User)  # login_required stands before
    try:
        address = send_test(campaign=campaign, arm_key=arm.key, profile=person, actor=request.user, at=timezone.now())
    except CannotSendTest as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("A test message is on its way to %(address)s.") % {"address": address})
    query = f"?person={person.public_id}" if person is not None else ""
    return redirect(reverse("marketing:campaign-preview", args=[slug, arm_key]) + query)


def _arm(slug: str, arm_key: str) -> tuple[Campaign, CampaignArm]:
    try:
        campaign = get_campaign(slug=slug)
    except UnknownCampaign as error:
        raise Http404 from error
    arm = next((arm for arm in arms_of(campaign=campaign) if arm.key == arm_key), None)
    if arm is None:
        raise Http404
    return campaign, arm


def _may_see_people(request: HttpRequest) -> bool:
    return request.user.has_perm("marketing.view_profile")


def _person(request: HttpRequest) -> tuple[Profile | None, str]:
    """Return the person asked for and what is wrong with the question; nobody is a stranger."""
    asked = (request.GET.get("person") or request.POST.get("person") or "").strip()
    if not asked:
        return None, ""
    if not _may_see_people(request):
        raise PermissionDenied
    found = find_for_preview(text=asked)
    return found, "" if found is not None else _("Nobody is called “%(who)s” here.") % {"who": asked[:80]}
