"""Segments: made, changed, counted and refreshed; who is in them."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from django.db import transaction
from django.http import Http404, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from config.webapi.endpoint import actor_of, body_of, query_of
from config.webapi.idempotency import idempotent
from config.webapi.pages import page_of
from config.webapi.schema import page_schema
from marketing import tasks
from marketing.api.base import MarketingEndpoint
from marketing.api.serializers import (
    CountOut,
    ListIn,
    MemberOut,
    MemberQuery,
    MembersImportOut,
    MembersImportQuery,
    MembersIn,
    RuleIn,
    SegmentChange,
    SegmentIn,
    SegmentOut,
    SegmentQuery,
)
from marketing.errors import CannotEditSegment
from marketing.models import Segment
from marketing.selectors import segments as reads
from marketing.services import exports, lists
from marketing.services import segments as services

VIEW = "marketing.view_segment"
CHANGE = "marketing.change_segment"


class SegmentList(MarketingEndpoint):
    permissions: ClassVar = {"GET": VIEW, "POST": "marketing.add_segment"}

    @extend_schema(parameters=[SegmentQuery], responses={200: page_schema(SegmentOut)})
    def get(self, request: Request) -> Response:
        """List segments."""
        query = query_of(request, SegmentQuery)
        rows = reads.list_segments(with_archived=query["with_archived"])
        return page_of(request, rows, query, lambda found: SegmentOut(found, many=True).data)

    @extend_schema(request=SegmentIn, responses={201: SegmentOut})
    @idempotent
    def post(self, request: Request) -> Response:
        """Make a segment.

        The worker counts its members in a moment.
        """
        made = services.create_segment(at=timezone.now(), actor=actor_of(request), **body_of(request, SegmentIn))
        _refresh_soon(made)
        where = reverse("marketing-api:segment", kwargs={"slug": made.slug})
        headers = {"Location": request.build_absolute_uri(where)}
        return Response(SegmentOut(_segment(made.slug)).data, status=status.HTTP_201_CREATED, headers=headers)


class SegmentCount(MarketingEndpoint):
    permissions: ClassVar = {"POST": VIEW}

    @extend_schema(request=RuleIn, responses={200: CountOut})
    def post(self, request: Request) -> Response:
        """Count the people of a rule without storing it."""
        found = reads.count(rule=body_of(request, RuleIn)["rule"], at=timezone.now(), is_exact=False)
        return Response(CountOut(found).data)


class SegmentDetail(MarketingEndpoint):
    permissions: ClassVar = {"GET": VIEW, "PATCH": CHANGE}

    @extend_schema(responses={200: SegmentOut})
    def get(self, request: Request, slug: str) -> Response:
        """Show one segment with its rule."""
        return Response(SegmentOut(_segment(slug)).data)

    @extend_schema(request=SegmentChange, responses={200: SegmentOut})
    def patch(self, request: Request, slug: str) -> Response:
        """Change name, description or rule; another rule is a new version."""
        segment = _segment(slug)
        values = body_of(request, SegmentChange)
        values.setdefault("rule", segment.version.rule if segment.version else {"root": {"all": []}})
        services.edit_segment(segment_id=segment.pk, at=timezone.now(), actor=actor_of(request), **values)
        _refresh_soon(segment)
        return Response(SegmentOut(_segment(slug)).data)


class SegmentRefresh(MarketingEndpoint):
    permissions: ClassVar = {"POST": CHANGE}

    @extend_schema(request=None, responses={202: None})
    def post(self, request: Request, slug: str) -> Response:
        """Ask the worker to bring the members up to date."""
        _refresh_soon(_segment(slug))
        return Response(status=status.HTTP_202_ACCEPTED)


class SegmentArchive(MarketingEndpoint):
    permissions: ClassVar = {"POST": CHANGE}

    @extend_schema(request=None, responses={200: SegmentOut})
    def post(self, request: Request, slug: str) -> Response:
        """Take a segment out of use; its history stays."""
        services.archive_segment(segment_id=_segment(slug).pk, at=timezone.now(), actor=actor_of(request))
        return Response(SegmentOut(_segment(slug)).data)


class SegmentRestore(MarketingEndpoint):
    permissions: ClassVar = {"POST": CHANGE}

    @extend_schema(request=None, responses={200: SegmentOut})
    def post(self, request: Request, slug: str) -> Response:
        """Take an archived segment into use again."""
        segment = _segment(slug)
        services.restore_segment(segment_id=segment.pk, at=timezone.now(), actor=actor_of(request))
        _refresh_soon(segment)
        return Response(SegmentOut(_segment(slug)).data)


class ListMake(MarketingEndpoint):
    permissions: ClassVar = {"POST": "marketing.add_segment"}

    @extend_schema(request=ListIn, responses={201: SegmentOut})
    @idempotent
    def post(self, request: Request) -> Response:
        """Make a list: a segment that nobody is in until `imports/` says so."""
        made = lists.create_list(at=timezone.now(), actor=actor_of(request), **body_of(request, ListIn))
        where = reverse("marketing-api:segment", kwargs={"slug": made.slug})
        headers = {"Location": request.build_absolute_uri(where)}
        return Response(SegmentOut(_segment(made.slug)).data, status=status.HTTP_201_CREATED, headers=headers)


class MembersImports(MarketingEndpoint):
    permissions: ClassVar = {"GET": VIEW, "POST": CHANGE}

    @extend_schema(parameters=[MembersImportQuery], responses={200: page_schema(MembersImportOut)})
    def get(self, request: Request, slug: str) -> Response:
        """List what a list was made of, with the counts."""
        query = query_of(request, MembersImportQuery)
        rows = reads.imports_of(slug=_segment(slug).slug)
        return page_of(request, rows, query, lambda found: MembersImportOut(found, many=True).data)

    @extend_schema(request=MembersIn, responses={202: None})
    def post(self, request: Request, slug: str) -> Response:
        """Ask the worker to add people to a list, to take them out, or to make them the members.

        The same request again changes nothing.
        """
        segment, values = _segment(slug), body_of(request, MembersIn)
        if not segment.is_list or segment.archived_at is not None:
            raise CannotEditSegment(f"segment {segment.slug} is no list in use: its members come from a rule")
        path = lists.keep_values(column=values["identity"], values=values["values"])
        task = partial(
            tasks.import_list.delay, segment_id=segment.pk, name=path.name, mode=values["mode"], file_name="API"
        )
        transaction.on_commit(task)
        return Response(status=status.HTTP_202_ACCEPTED)


class MembersExport(MarketingEndpoint):
    permissions: ClassVar = {"POST": (VIEW, "marketing.view_profile")}

    @extend_schema(request=None, responses={(200, "text/csv"): OpenApiTypes.STR})
    def post(self, request: Request, slug: str) -> HttpResponseBase:
        """Get the members of a segment as CSV.

        Who took them is in the log of changes. No cell can be taken for a formula.
        """
        lines = exports.export_members(segment_id=_segment(slug).pk, at=timezone.now(), actor=actor_of(request))
        return StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")


class MemberList(MarketingEndpoint):
    permissions: ClassVar = {"GET": "marketing.view_profile"}

    @extend_schema(parameters=[MemberQuery], responses={200: page_schema(MemberOut)})
    def get(self, request: Request, slug: str) -> Response:
        """List who was in the segment at its last refresh, and since when."""
        query = query_of(request, MemberQuery)
        rows = reads.members(segment_id=_segment(slug).pk)
        return page_of(request, rows, query, lambda found: MemberOut(found, many=True).data)


def _segment(slug: str) -> Segment:
    segment = reads.get_segment(slug=slug)
    if segment is None:
        raise Http404(f"There is no segment {slug!r}.")
    return segment


def _refresh_soon(segment: Segment) -> None:
    # robust: without a broker the scheduler refreshes anyway
    transaction.on_commit(partial(tasks.refresh_segment.delay, segment.pk), robust=True)
