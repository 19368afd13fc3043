"""Campaigns: listed, shown, launched and ended; and the log of changes."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from config.webapi.endpoint import actor_of, body_of, query_of
from config.webapi.pages import page_of
from config.webapi.schema import page_schema
from config.webapi.serializers import ChangeOut, MessageIn
from marketing.api.base import MarketingEndpoint
from marketing.api.serializers import (
    CampaignArmOut,
    CampaignOut,
    CampaignQuery,
    CampaignRowOut,
    ChangeQuery,
)
from marketing.selectors.campaigns import get_campaign, list_campaigns
from marketing.selectors.records import changes
from marketing.services import lifecycle
from marketing.services.campaigns import draft_of

VIEW = "marketing.view_campaign"


class CampaignList(MarketingEndpoint):
    permissions: ClassVar = {"GET": VIEW}

    @extend_schema(parameters=[CampaignQuery], responses={200: page_schema(CampaignRowOut)})
    def get(self, request: Request) -> Response:
        """List campaigns."""
        query = query_of(request, CampaignQuery)
        rows = list_campaigns(status=query.get("status", ""))
        return page_of(request, rows, query, lambda found: CampaignRowOut(found, many=True).data)


class CampaignDetail(MarketingEndpoint):
    permissions: ClassVar = {"GET": VIEW}

    @extend_schema(responses={200: CampaignOut})
    def get(self, request: Request, slug: str) -> Response:
        """Show one campaign with its arms; its results are its experiment's."""
        return Response(_shown(slug))


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
        "goal_metric": draft.goal_metric,
        "guardrail_metrics": draft.guardrail_metrics,
        "consent_purposes": draft.consent_purposes,
        "mde": draft.mde,
        "starts_at": draft.starts_at,
        "ends_at": draft.ends_at,
        "arms": CampaignArmOut(draft.arms, many=True).data,
        "transitions": [rule.name for rule in lifecycle.available(campaign=campaign)],
    }
