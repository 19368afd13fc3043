"""Results: the stored report, its tables as files, and the refreshes before."""

from __future__ import annotations

from typing import ClassVar

from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from config.webapi.endpoint import query_of
from config.webapi.pages import page_of
from config.webapi.schema import page_schema
from experiments.api.base import VIEW, ExperimentsEndpoint
from experiments.api.serializers import (
    ResultsOut,
    SnapshotDetailOut,
    SnapshotOut,
    SnapshotQuery,
    TableOut,
    TableQuery,
)
from experiments.reports import encode_report
from experiments.selectors import get_report, get_results
from experiments.selectors.records import get_record, get_snapshot, snapshots
from experiments.services.exports import parquet
from experiments.tables import TABLES, table_of, to_csv

PARQUET = "application/vnd.apache.parquet"


class Results(ExperimentsEndpoint):
    permissions: ClassVar = {"GET": VIEW}

    @extend_schema(responses={200: ResultsOut})
    def get(self, request: Request, key: str) -> Response:
        """Show the last good report.

        `report` is null before the first refresh; `failures_n` counts the refreshes that failed since.
        """
        get_record(key=key)
        stored = get_results(experiment_key=key)
        return Response(
            {
                "refreshed_at": stored.refreshed_at,
                "is_frozen": stored.is_frozen,
                "failures_n": stored.failures_n,
                "error": stored.error,
                "report": None if stored.report is None else encode_report(stored.report),
            }
        )


class ResultTable(ExperimentsEndpoint):
    permissions: ClassVar = {"GET": VIEW}

    @extend_schema(
        parameters=[TableQuery, OpenApiParameter("table", str, OpenApiParameter.PATH, enum=tuple(TABLES))],
        responses={
            (200, "application/json"): TableOut,
            (200, "text/csv"): OpenApiTypes.STR,
            (200, PARQUET): OpenApiTypes.BINARY,
            503: OpenApiResponse(OpenApiTypes.OBJECT, "The file could not be written in time. Try again."),
        },
    )
    def get(self, request: Request, key: str, table: str) -> HttpResponseBase:
        """Get a table of the last good report as JSON, CSV or Parquet.

        No cell of the CSV can be taken for a formula.
        """
        wanted = query_of(request, TableQuery)["format"]
        if table not in TABLES:
            raise Http404(f"There is no table {table!r}. There are: {', '.join(TABLES)}.")
        get_record(key=key)
        report = get_report(experiment_key=key)
        if report is None:
            raise Http404(f"The experiment {key!r} has no results yet. Refresh it.")
        found = table_of(report, table)
        match wanted:
            case "csv":
                return HttpResponse(to_csv(found), content_type="text/csv; charset=utf-8")
            case "parquet":
                return HttpResponse(parquet(table=found), content_type=PARQUET)
            case _:
                return Response({"columns": dict(found.columns), "rows": found.rows})


class SnapshotList(ExperimentsEndpoint):
    permissions: ClassVar = {"GET": VIEW}

    @extend_schema(parameters=[SnapshotQuery], responses={200: page_schema(SnapshotOut)})
    def get(self, request: Request, key: str) -> Response:
        """List the stored refreshes."""
        query = query_of(request, SnapshotQuery)
        return page_of(request, snapshots(key=key), query, lambda rows: SnapshotOut(rows, many=True).data)


class SnapshotDetail(ExperimentsEndpoint):
    permissions: ClassVar = {"GET": VIEW}

    @extend_schema(responses={200: SnapshotDetailOut})
    def get(self, request: Request, key: str, snapshot_id: int) -> Response:
        """Show one refresh with its report and SQL."""
        snapshot = get_snapshot(key=key, snapshot_id=snapshot_id)
        if snapshot is None:
            raise Http404(f"The experiment {key!r} has no snapshot {snapshot_id}.")
        return Response(SnapshotDetailOut(snapshot).data)
