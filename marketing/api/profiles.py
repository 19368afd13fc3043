"""People: found, shown, and told more about."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from config.webapi.endpoint import body_of, query_of
from config.webapi.pages import page_of
from config.webapi.schema import page_schema
from marketing.api.base import MarketingEndpoint
from marketing.api.serializers import (
    ConsentOut,
    EventOut,
    EventQuery,
    ExposureOut,
    IdentityOut,
    ProfileDetailOut,
    ProfileOut,
    ProfileQuery,
    TraitOut,
    TraitsIn,
    TraitsOut,
)
from marketing.choices import IdentityKind
from marketing.models import Event, Profile
from marketing.segmentation.clock import from_micros
from marketing.selectors import profiles as reads
from marketing.selectors.consent import consent_state
from marketing.selectors.records import events_of, people
from marketing.selectors.segments import memberships_of
from marketing.services.profiles import set_traits

VIEW = "marketing.view_profile"


class ProfileList(MarketingEndpoint):
    permissions: ClassVar = {"GET": VIEW}

    @extend_schema(parameters=[ProfileQuery], responses={200: page_schema(ProfileOut)})
    def get(self, request: Request) -> Response:
        """List people, or find who has an identity."""
        query = query_of(request, ProfileQuery)
        kind = IdentityKind(query["identity_kind"]) if "identity_kind" in query else None
        rows = people(identity=query.get("identity", ""), kind=kind)
        return page_of(request, rows, query, lambda found: ProfileOut(found, many=True).data)


class ProfileDetail(MarketingEndpoint):
    permissions: ClassVar = {"GET": VIEW}

    @extend_schema(responses={200: ProfileDetailOut})
    def get(self, request: Request, public_id: str) -> Response:
        """Show a person: identities, traits, consents, segments, and the arms they saw."""
        profile = _profile(public_id)
        consents = consent_state(profile_id=profile.pk).values()
        return Response(
            {
                **ProfileOut(profile).data,
                "identities": IdentityOut(reads.identities(profile_id=profile.pk), many=True).data,
                "traits": TraitOut(reads.traits(profile_id=profile.pk), many=True).data,
                "consents": [
                    ConsentOut({"purpose": row.purpose, "granted": row.granted, "at": from_micros(row.at)}).data
                    for row in consents
                ],
                "segments": [row.segment.slug for row in memberships_of(profile_id=profile.pk)],
                "exposures": ExposureOut(reads.arms(profile_id=profile.pk), many=True).data,
            }
        )


class Traits(MarketingEndpoint):
    permissions: ClassVar = {"PATCH": "marketing.change_profile"}

    @extend_schema(request=TraitsIn, responses={200: TraitsOut})
    def patch(self, request: Request, public_id: str) -> Response:
        """State traits of a person.

        `ignored` names what was not kept.
        """
        profile = _profile(public_id)
        ignored = set_traits(profile_id=profile.pk, at=timezone.now(), **body_of(request, TraitsIn))
        traits = reads.traits(profile_id=profile.pk)
        return Response({"ignored": sorted(ignored), "traits": TraitOut(traits, many=True).data})


class EventList(MarketingEndpoint):
    permissions: ClassVar = {"GET": VIEW}

    @extend_schema(parameters=[EventQuery], responses={200: page_schema(EventOut)})
    def get(self, request: Request, public_id: str) -> Response:
        """List what a person did."""
        query = query_of(request, EventQuery)
        return page_of(request, events_of(profile_id=_profile(public_id).pk), query, _events)


def _profile(public_id: str) -> Profile:
    profile = reads.get_profile(public_id=public_id)
    if profile is None:
        raise Http404(f"There is no profile {public_id!r}.")
    return profile


def _events(rows: list[Event]) -> Any:
    return [
        {
            "event": row.type.name,
            "at": from_micros(row.at),
            "item": row.item,
            "value": row.value,
            "order_id": row.order_id,
            "recommendation_id": row.recommendation_id,
            "source": row.source.name,
            "props": row.props,
        }
        for row in rows
    ]
