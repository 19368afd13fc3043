"""People in the back office: search by identity, and one person with everything about them."""

from __future__ import annotations

from typing import Final

from django.contrib.auth.decorators import login_required, permission_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from marketing.segmentation.clock import to_micros
from marketing.selectors import profiles as reads
from marketing.selectors.consent import consent_history
from marketing.selectors.rule_words import SYSTEM_NAMES
from marketing.selectors.segments import memberships_of
from recommender.selectors import list_slates

SHOWN_TRAITS: Final = ("email", "country", "language", "timezone", "birth_year")
SLATES: Final = 10
RFM_GROUP: Final = "rfm_group"


@login_required
@permission_required("marketing.view_profile", raise_exception=True)
@require_http_methods(["GET", "HEAD", "POST"])
def profile_list(request: HttpRequest) -> HttpResponse:
    """Find people by an identity, or show the newest. Identities are posted: addresses of pages end up in logs."""
    q = request.POST.get("q", "").strip()
    if q:
        return render(
            request, "marketing/profiles/list.html", {"q": q, "profiles": reads.find_by_identity(value=q[:255])}
        )
    before = request.GET.get("before", "")
    profiles = reads.recent_profiles(before=int(before) if before.isdecimal() and len(before) < 19 else None)
    is_full = len(profiles) == reads.RECENT
    context = {"q": "", "profiles": profiles, "next_before": profiles[-1].pk if is_full else None}
    return render(request, "marketing/profiles/list.html", context)


@login_required
@permission_required("marketing.view_profile", raise_exception=True)
@require_GET
def profile_detail(request: HttpRequest, public_id: str) -> HttpResponse:
    """Show one person: what they did, are, agreed to, were shown. A merged profile leads to its winner."""
    profile = reads.get_profile(public_id=public_id)
    if profile is None:
        raise Http404
    if str(profile.public_id) != public_id:
        return redirect("marketing:profile-detail", public_id=str(profile.public_id))
    events = reads.timeline(profile_id=profile.pk, before=_before(request.GET.get("before", "")))
    last = events[-1] if len(events) == reads.TIMELINE else None
    traits = reads.traits(profile_id=profile.pk)
    context = {
        "profile": profile,
        "rfm_group": next((row.value for row in traits if row.key == RFM_GROUP), ""),
        "computed": [row for row in traits if row.is_computed],
        "events": events,
        "next_before": "" if last is None else f"{to_micros(last.at)}-{last.pk}",
        "typed": [(SYSTEM_NAMES[name], getattr(profile, name)) for name in SHOWN_TRAITS],
        "traits": [row for row in traits if not row.is_computed],
        "identities": reads.identities(profile_id=profile.pk),
        "memberships": list(memberships_of(profile_id=profile.pk)),
        "arms": reads.arms(profile_id=profile.pk),
        "deliveries": reads.deliveries(profile_id=profile.pk),
        "slates": list(list_slates(user_id=str(profile.pk), limit=SLATES)),
        "consents": consent_history(profile_id=profile.pk),
        "merges": reads.merges(profile_id=profile.pk),
    }
    return render(request, "marketing/profiles/detail.html", context)


def _before(text: str) -> tuple[int, int] | None:
    """Read the place in the timeline out of the address."""
    at, _sign, pk = text.partition("-")
    if at.isdecimal() and pk.isdecimal() and len(at) < 19 and len(pk) < 19:
        return int(at), int(pk)
    return None
