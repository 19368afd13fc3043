"""Campaigns: listed, shown, launched and ended; and the log of changes."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django.http import Http404
from django.urls import reverse
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from config.webapi.endpoint import actor_of, body_of, query_of
from config.webapi.idempotency import idempotent
from config.webapi.pages import page_of
from config.webapi.schema import page_schema
from config.webapi.serializers import ChangeOut, MessageIn
from marketing.api.base import MarketingEndpoint
from marketing.api.drafts import DraftChange, DraftIn, draft_from
from marketing.api.serializers import (
    CampaignArmOut,
    CampaignOut,
    CampaignQuery,
    CampaignRowOut,
    ChangeQuery,
    CheckOut,
)
from marketing.selectors.campaigns import get_campaign, list_campaigns
from marketing.selectors.records import changes
from marketing.services import lifecycle
from marketing.services.campaigns import LISTS, PLAIN, create_campaign, draft_of, free_slug, revise_campaign
from marketing.services.checks import launch_checks

VIEW = "marketing.view_campaign"
_AS_DRAFTED: Final = tuple(name for name in (*PLAIN, *LISTS) if not name.endswith("_id"))
"""What is shown under the name and in the form that a draft has it."""


class CampaignList(MarketingEndpoint):
    permissions: ClassVar = {"GET": VIEW, "POST": "marketing.add_campaign"}

    @extend_schema(parameters=[CampaignQuery], responses={200: page_schema(CampaignRowOut)})
    def get(self, request: Request) -> Response:
        """List campaigns."""
        query = query_of(request, CampaignQuery)
        rows = list_campaigns(status=query.get("status", ""))
        return page_of(request, rows, query, lambda found: CampaignRowOut(found, many=True).data)

    @extend_schema(request=DraftIn, responses={201: CampaignOut})
    @idempotent
    def post(self, request: Request) -> Response:
        """Make a draft.

        Nobody gets it; `transitions/launch/` launches it once nothing is against it.
        """
        values = body_of(request, DraftIn)
        values.setdefault("slug", free_slug(name=values["name"]))
        made = create_campaign(draft=draft_from(values), at=timezone.now(), actor=actor_of(request))
        where = reverse("marketing-api:campaign", kwargs={"slug": made.slug})
        headers = {"Location": request.build_absolute_uri(where)}
        return Response(_shown(made.slug), status=status.HTTP_201_CREATED, headers=headers)


class CampaignDetail(MarketingEndpoint):
    permissions: ClassVar = {"GET": VIEW, "PATCH": "marketing.change_campaign"}

    @extend_schema(responses={200: CampaignOut})
    def get(self, request: Request, slug: str) -> Response:
        """Show one campaign with its arms; its results are its experiment's."""
        return Response(_shown(slug))

    @extend_schema(request=DraftChange, responses={200: CampaignOut})
    def patch(self, request: Request, slug: str) -> Response:
        """Change a draft.

        A list in the body replaces the list; what is left out stays.
        """
        campaign = get_campaign(slug=slug)
        draft = draft_from(body_of(request, DraftChange), draft_of(campaign=campaign))
        revise_campaign(campaign_id=campaign.pk, draft=draft, at=timezone.now(), actor=actor_of(request))
        return Response(_shown(slug))


class CampaignChecklist(MarketingEndpoint):
    permissions: ClassVar = {"GET": VIEW}

    @extend_schema(responses={200: CheckOut(many=True)})
    def get(self, request: Request, slug: str) -> Response:
        """Tell what a launch needs, point by point."""
        checks = launch_checks(draft=draft_of(campaign=get_campaign(slug=slug)))
        return Response(CheckOut(checks, many=True).data)


class CampaignTransition(MarketingEndpoint):
    permissions: ClassVar = {"POST": "marketing.launch_campaign"}

    @extend_schema(
        parameters=[OpenApiParameter("name", str, OpenApiParameter.PATH, enum=tuple(lifecycle.ACTIONS))],
        request=MessageIn,
        responses={200: CampaignOut},
    )
    def post(self, request: Request, slug: str, name: str) -> Response:
        """Launch, schedule, pause, resume, finish, stop or archive.

        A 409 carries the reasons against it, one of `errors` each.
        """
        if name not in lifecycle.ACTIONS:
            raise Http404(f"There is no transition {name!r}. There are: {', '.join(lifecycle.ACTIONS)}.")
        values = body_of(request, MessageIn)
        campaign = get_campaign(slug=slug)
        lifecycle.ACTIONS[name](campaign_id=campaign.pk, at=timezone.now(), actor=actor_of(request), **values)
        return Response(_shown(slug))


class ChangeList(MarketingEndpoint):
    permissions: ClassVar = {"GET": VIEW}

    @extend_schema(parameters=[ChangeQuery], responses={200: page_schema(ChangeOut)})
    def get(self, request: Request) -> Response:
        """List who changed which campaign or segment, when and why."""
        query = query_of(request, ChangeQuery)
        rows = changes(campaign=query.get("campaign", ""))
        return page_of(request, rows, query, lambda found: ChangeOut(found, many=True).data)


def _shown(slug: str) -> dict[str, Any]:
    campaign = get_campaign(slug=slug)
    draft = draft_of(campaign=campaign)
    return {
        **CampaignRowOut(campaign).data,
        **{name: getattr(draft, name) for name in _AS_DRAFTED},
        "sender": campaign.sender.email if campaign.sender else None,
        "trigger_segment": campaign.trigger_segment.slug if campaign.trigger_segment else None,
        "arms": CampaignArmOut(draft.arms, many=True).data,
        "transitions": [rule.name for rule in lifecycle.available(campaign=campaign)],
    }
