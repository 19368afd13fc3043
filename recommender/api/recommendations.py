"""Slates over HTTP: for a person, for a session or a basket, similar to an item, or given items in a better order."""

from __future__ import annotations

from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from config.webapi.endpoint import Strict, body_of
from recommender.api.endpoints import VIEW, RecommenderEndpoint
from recommender.selectors import fallback_text, item_titles, reason_text
from recommender.services.serving import MAX_SLATE, recommend

MOST_GIVEN = 500
"""Items in one request."""


def _ids(help_text: str) -> serializers.ListField:
    return serializers.ListField(
        child=serializers.CharField(max_length=200),
        max_length=MOST_GIVEN,
        required=False,
        default=list,
        help_text=help_text,
    )


class RecommendIn(Strict):
    strategy = serializers.SlugField(max_length=60)
    k = serializers.IntegerField(min_value=1, max_value=MAX_SLATE, default=10)
    user_id = serializers.CharField(
        max_length=200,
        allow_blank=True,
        required=False,
        default="",
        help_text="The profile's number; empty: a stranger. Nothing is read of people without consent.",
    )
    basis = _ids("Go by these items instead of a history: a session, a basket, one item for similar ones.")
    only = _ids("Put these items in order and show no others; empty: the whole catalogue.")
    exclude = _ids("Never these items.")
    age = serializers.IntegerField(
        min_value=0, max_value=150, required=False, default=0, help_text="If known: opens items with a minimum age."
    )
    log = serializers.BooleanField(required=False, default=True, help_text="False: a look that nobody was shown.")


class PlaceOut(serializers.Serializer[Any]):
    position = serializers.IntegerField()
    item_id = serializers.CharField()
    title = serializers.CharField()
    score = serializers.FloatField()
    propensity = serializers.FloatField()
    reason = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment]  # DRF's own argument has this name


class RecommendOut(serializers.Serializer[Any]):
    recommendation_id = serializers.UUIDField(help_text="Clicks and orders carry it back.")
    strategy_version = serializers.IntegerField(allow_null=True)
    items = PlaceOut(many=True)
    fallback = serializers.CharField()
    fallback_reason = serializers.CharField()
    short_reason = serializers.CharField()


class Recommendations(RecommenderEndpoint):
    permissions: ClassVar = {"POST": VIEW}

    @extend_schema(request=RecommendIn, responses={200: RecommendOut})
    def post(self, request: Request) -> Response:
        """Recommend items; a fallback stands in where the strategy's own model cannot answer in time."""
        asked = body_of(request, RecommendIn)
        answer = recommend(
            user_id=asked["user_id"],
            k=asked["k"],
            strategy=asked["strategy"],
            context={"source": "api"},
            at=timezone.now(),
            exclude=asked["exclude"],
            basis=asked["basis"],
            only=asked["only"] or None,
            age=asked["age"],
            log=asked["log"],
        )
        titles = item_titles(item_ids=[name for item in answer.items for name in item.reason.item_ids])
        items = [
            {
                "position": item.position,
                "item_id": item.item_id,
                "title": item.title,
                "score": item.score,
                "propensity": item.propensity,
                "reason": reason_text(reason=item.reason, titles=titles),
                "source": item.source,
            }
            for item in answer.items
        ]
        about = {
            "recommendation_id": answer.recommendation_id,
            "strategy_version": answer.strategy_version,
            "items": items,
            "fallback": answer.fallback,
            "fallback_reason": fallback_text(code=answer.fallback_reason),
            "short_reason": fallback_text(code=answer.short_reason),
        }
        return Response(RecommendOut(about).data)
