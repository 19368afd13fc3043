"""Catalogue, strategies and models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Final

from django.db import transaction
from django.http import Http404
from django.urls import reverse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from config.webapi.endpoint import Endpoint, actor_of, body_of, query_of
from config.webapi.errors import CONFLICT, NOT_FOUND, REFUSED
from config.webapi.idempotency import idempotent
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
    StrategyChange,
    StrategyIn,
    StrategyOut,
    StrategyQuery,
)
from recommender.errors import CannotPublish, InvalidItem, InvalidStrategy, UnknownAlgorithm, UnknownStrategy
from recommender.models import Strategy
from recommender.services.catalogue import ItemRow, upsert_items
from recommender.services.filters import decode_filters
from recommender.services.publishing import publish_model, roll_back
from recommender.services.rules import decode_rules
from recommender.services.strategies import StrategyDesign, create_strategy, design_of, free_slug, revise_strategy
from recommender.tasks import train_strategy

VIEW: Final = "recommender.view_strategy"
CHANGE: Final = "recommender.change_strategy"
TRAIN: Final = "recommender.train_strategy"
CHANGE_ITEMS: Final = "recommender.change_item"


class RecommenderEndpoint(Endpoint):
    """An endpoint whose services raise this app's errors."""

    problems: ClassVar[Border] = {
        UnknownStrategy: NOT_FOUND,
        InvalidItem: REFUSED,
        InvalidStrategy: REFUSED,
        UnknownAlgorithm: REFUSED,
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
    permissions: ClassVar = {"GET": VIEW, "POST": CHANGE}

    @extend_schema(parameters=[StrategyQuery], responses={200: page_schema(StrategyOut)})
    def get(self, request: Request) -> Response:
        """List the strategies."""
        query = query_of(request, StrategyQuery)
        rows = selectors.strategies(is_active=query["is_active"])
        return page_of(request, rows, query, lambda found: StrategyOut(found, many=True).data)

    @extend_schema(request=StrategyIn, responses={201: StrategyOut})
    @idempotent
    def post(self, request: Request) -> Response:
        """Make a strategy with its first version.

        It serves its fallbacks until `train/` has made a model.
        """
        values = body_of(request, StrategyIn)
        about = {name: values.pop(name) for name in ("name", "description", "retrain_hours")}
        slug = values.pop("slug", None) or free_slug(about["name"])
        made = create_strategy(slug=slug, design=_design(values), at=timezone.now(), actor=actor_of(request), **about)
        where = reverse("recommender-api:strategy", kwargs={"slug": made.slug})
        headers = {"Location": request.build_absolute_uri(where)}
        return Response(StrategyOut(_strategy(slug)).data, status=status.HTTP_201_CREATED, headers=headers)


class StrategyDetail(RecommenderEndpoint):
    permissions: ClassVar = {"GET": VIEW, "PATCH": CHANGE}

    @extend_schema(responses={200: StrategyOut})
    def get(self, request: Request, slug: str) -> Response:
        """Show one strategy with its version in force."""
        return Response(StrategyOut(_strategy(slug)).data)

    @extend_schema(request=StrategyChange, responses={200: StrategyOut})
    def patch(self, request: Request, slug: str) -> Response:
        """Make the next version of a strategy.

        What is left out stays as it is; running experiments keep their version.
        """
        strategy = _strategy(slug)
        assert strategy.current_version is not None  # made with the strategy
        design = _design(body_of(request, StrategyChange), design_of(strategy.current_version))
        revise_strategy(slug=slug, design=design, at=timezone.now(), actor=actor_of(request))
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


def _design(values: Mapping[str, Any], base: StrategyDesign | None = None) -> StrategyDesign:
    parts = dict(values)
    if "filters" in parts:
        parts["filters"] = decode_filters(parts["filters"])
    if "rules" in parts:
        parts["rules"] = decode_rules(parts["rules"])
    if "fallbacks" in parts:
        parts["fallbacks"] = tuple(parts["fallbacks"])
    return StrategyDesign(**parts) if base is None else replace(base, **parts)


def _strategy(slug: str) -> Strategy:
    strategy = selectors.get_strategy(slug=slug)
    if strategy is None:
        raise UnknownStrategy(f"There is no strategy {slug!r}.")
    return strategy
