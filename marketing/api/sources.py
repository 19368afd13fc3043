"""Sources and their keys; a key's secret is shown once, when it is made."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from config.webapi.endpoint import actor_of, body_of, query_of
from config.webapi.pages import page_of
from config.webapi.schema import page_schema
from marketing.api.base import MarketingEndpoint
from marketing.api.serializers import KeyIn, KeyOut, KeyQuery, NewKeyOut, RotateIn, SourceIn, SourceOut, SourceQuery
from marketing.choices import MANAGEMENT_SCOPES, SourceKind
from marketing.models import Source
from marketing.selectors.records import get_source, keys_of, sources
from marketing.services.sources import ensure_source, issue_key, revoke_key, rotate_key


class SourceList(MarketingEndpoint):
    permissions: ClassVar = {"GET": "marketing.view_source", "POST": "marketing.add_source"}

    @extend_schema(parameters=[SourceQuery], responses={200: page_schema(SourceOut)})
    def get(self, request: Request) -> Response:
        """List where events come from."""
        query = query_of(request, SourceQuery)
        return page_of(request, sources(), query, lambda found: SourceOut(found, many=True).data)

    @extend_schema(request=SourceIn, responses={200: SourceOut})
    def post(self, request: Request) -> Response:
        """Make a source unless it is there; an existing one keeps its kind."""
        values = body_of(request, SourceIn)
        made = ensure_source(name=values["name"], kind=SourceKind(values["kind"]), at=timezone.now())
        return Response(SourceOut(made).data)


class KeyList(MarketingEndpoint):
    permissions: ClassVar = {"GET": "marketing.view_writekey", "POST": "marketing.add_writekey"}

    @extend_schema(parameters=[KeyQuery], responses={200: page_schema(KeyOut)})
    def get(self, request: Request, name: str) -> Response:
        """List the keys of a source, without their secrets."""
        query = query_of(request, KeyQuery)
        rows = keys_of(source=_source(name))
        return page_of(request, rows, query, lambda found: KeyOut(found, many=True).data)

    @extend_schema(request=KeyIn, responses={201: NewKeyOut})
    def post(self, request: Request, name: str) -> Response:
        """Make a key; the answer is the only place that ever shows it.

        A key with the scope `read` or `manage` acts for whoever makes it.
        """
        source, values = _source(name), body_of(request, KeyIn)
        acts_for = actor_of(request) if set(values["scopes"]).intersection(MANAGEMENT_SCOPES) else None
        key, secret = issue_key(source=source, at=timezone.now(), acts_for=acts_for, **values)
        return Response({**KeyOut(key).data, "secret": secret}, status=status.HTTP_201_CREATED)


class KeyRevoke(MarketingEndpoint):
    permissions: ClassVar = {"POST": "marketing.change_writekey"}

    @extend_schema(request=None, responses={200: KeyOut})
    def post(self, request: Request, name: str, key_id: int) -> Response:
        """Make a key useless from now on; every process refuses it within five seconds."""
        rows = keys_of(source=_source(name)).filter(pk=key_id)
        if not rows:
            raise Http404(f"The source {name!r} has no key {key_id}.")
        revoke_key(key_id=key_id, at=timezone.now())
        return Response(KeyOut(rows.get()).data)


class KeyRotate(MarketingEndpoint):
    permissions: ClassVar = {"POST": ("marketing.add_writekey", "marketing.change_writekey")}

    @extend_schema(request=RotateIn, responses={201: NewKeyOut})
    def post(self, request: Request, name: str, key_id: int) -> Response:
        """Replace a key by one with the same rights; the old one stays valid for the overlap.

        The answer is the only place that ever shows the new one.
        """
        rows = keys_of(source=_source(name)).filter(pk=key_id)
        if not rows:
            raise Http404(f"The source {name!r} has no key {key_id}.")
        overlap = timedelta(hours=body_of(request, RotateIn)["overlap_hours"])
        key, secret = rotate_key(key_id=key_id, overlap=overlap, at=timezone.now())
        return Response({**KeyOut(key).data, "secret": secret}, status=status.HTTP_201_CREATED)


def _source(name: str) -> Source:
    source = get_source(name=name)
    if source is None:
        raise Http404(f"There is no source {name!r}.")
    return source
