"""Catalogue, strategies and models."""

from __future__ import annotations

from typing import ClassVar, Final

from django.db import transaction
from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from config.webapi.endpoint import Endpoint, actor_of, body_of, query_of
from config.webapi.errors import CONFLICT, NOT_FOUND, REFUSED
from config.webapi.pages import page_of
from config.webapi.problems import Border
from config.webapi.schema import page_schema
from config.webapi.serializers import ChangeOut
from recommender import selectors
from recommender.api.serializers import (
    ChangeQuery,
    ItemCounts,
    ItemOut,
    ItemQuery,
    ItemsIn,
    ModelOut,
    ModelQuery,
    StrategyOut,
    StrategyQuery,
)
from recommender.errors import CannotPublish, InvalidItem, InvalidStrategy, UnknownStrategy
from recommender.models import Strategy
from recommender.services.catalogue import ItemRow, upsert_items
from recommender.services.publishing import publish_model, roll_back
from recommender.tasks import train_strategy

VIEW: Final = "recommender.view_strategy"
TRAIN: Final = "recommender.train_strategy"
CHANGE_ITEMS: Final = "recommender.change_item"


class RecommenderEndpoint(Endpoint):
    """An endpoint whose services raise this app's errors."""

    problems: ClassVar[Border] = {
        UnknownStrategy: NOT_FOUND,
        InvalidItem: REFUSED,
        InvalidStrategy: REFUSED,
        CannotPublish: CONFLICT,
    }


class ItemList(RecommenderEndpoint):
    permissions: ClassVar = {"GET": VIEW, "PUT": CHANGE_ITEMS}

    @extend_schema(parameters=[ItemQuery], responses={200: page_schema(ItemOut)})
    def get(self, request: Request) -> Response:
        """List the catalogue."""
        query = query_of(request, ItemQuery)
        filters = {name: query[name] for name in ("category", "is_active", "search") if name in query}
        rows = selectors.items(**filters)
        return page_of(request, rows, query, lambda found: ItemOut(found, many=True).data)

    @extend_schema(request=ItemsIn, responses={200: ItemCounts})
    def put(self, request: Request) -> Response:
        """Store items, new or known by their `item_id`; all of them or none.

        An item that is the same already is not written, so that the request may be repeated.
        """
        rows = [ItemRow(**item) for item in body_of(request, ItemsIn)["items"]]
        return Response(ItemCounts(upsert_items(items=rows, at=timezone.now())).data)


class ItemDetail(RecommenderEndpoint):
    permissions: ClassVar = {"GET": VIEW}

    @extend_schema(responses={200: ItemOut})
    def get(self, request: Request, item_id: str) -> Response:
        """Show one item."""
        item = selectors.get_item(item_id=item_id)
        if item is None:
            raise Http404(f"There is no item {item_id!r}.")
        return Response(ItemOut(item).data)


class StrategyList(RecommenderEndpoint):
    permissions: ClassVar = {"GET": VIEW}

    @extend_schema(parameters=[StrategyQuery], responses={200: page_schema(StrategyOut)})
    def get(self, request: Request) -> Response:
        """List the strategies."""
        query = query_of(request, StrategyQuery)
        rows = selectors.strategies(is_active=query["is_active"])
        return page_of(request, rows, query, lambda found: StrategyOut(found, many=True).data)


class StrategyDetail(RecommenderEndpoint):
    permissions: ClassVar = {"GET": VIEW}

    @extend_schema(responses={200: StrategyOut})
    def get(self, request: Request, slug: str) -> Response:
        """Show one strategy with its version in force."""
        return Response(StrategyOut(_strategy(slug)).data)


class Train(RecommenderEndpoint):
    permissions: ClassVar = {"POST": TRAIN}

    @extend_schema(request=None, responses={202: None})
    def post(self, request: Request, slug: str) -> Response:
        """Ask the worker to train the strategy; `models/` tells how it went."""
        strategy = _strategy(slug)
        transaction.on_commit(lambda: train_strategy.delay(strategy.slug), robust=True)
        return Response(status=status.HTTP_202_ACCEPTED)


class RollBack(RecommenderEndpoint):
    permissions: ClassVar = {"POST": TRAIN}

    @extend_schema(request=None, responses={200: ModelOut})
    def post(self, request: Request, slug: str) -> Response:
        """Let the model serve again that served before."""
        return Response(ModelOut(roll_back(slug=slug, at=timezone.now(), actor=actor_of(request))).data)


class ModelList(RecommenderEndpoint):
    permissions: ClassVar = {"GET": VIEW}

    @extend_schema(parameters=[ModelQuery], responses={200: page_schema(ModelOut)})
    def get(self, request: Request, slug: str) -> Response:
        """List the models of a strategy, with what their training measured."""
        query = query_of(request, ModelQuery)
        rows = selectors.models_of(strategy=_strategy(slug), status=query.get("status", ""))
        return page_of(request, rows, query, lambda found: ModelOut(found, many=True).data)


class Publish(RecommenderEndpoint):
    permissions: ClassVar = {"POST": TRAIN}

    @extend_schema(request=None, responses={200: ModelOut})
    def post(self, request: Request, slug: str, model_id: int) -> Response:
        """Let this model serve from now on."""
        model = selectors.models_of(strategy=_strategy(slug)).filter(pk=model_id).first()
        if model is None:
            raise Http404(f"The strategy {slug!r} has no model {model_id}.")
        return Response(ModelOut(publish_model(model_id=model.pk, at=timezone.now(), actor=actor_of(request))).data)


class ChangeList(RecommenderEndpoint):
    permissions: ClassVar = {"GET": VIEW}

    @extend_schema(parameters=[ChangeQuery], responses={200: page_schema(ChangeOut)})
    def get(self, request: Request) -> Response:
        """List who changed which strategy or model, and when."""
        query = query_of(request, ChangeQuery)
        rows = selectors.changes(strategy=query.get("strategy", ""))
        return page_of(request, rows, query, lambda found: ChangeOut(found, many=True).data)


def _strategy(slug: str) -> Strategy:
    strategy = selectors.get_strategy(slug=slug)
    if strategy is None:
        raise UnknownStrategy(f"There is no strategy {slug!r}.")
    return strategy
