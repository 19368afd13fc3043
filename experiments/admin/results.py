"""What was computed from the facts, and who is told."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from experiments.admin.base import FactAdmin, ReadOnlyAdmin
from experiments.models import (
    Alert,
    AlertDelivery,
    Certificate,
    DigestSubscription,
    LedgerQuarter,
    Look,
    MetricSurvey,
    Recipient,
    Refresh,
    Snapshot,
)


@admin.register(Snapshot)
class SnapshotAdmin(FactAdmin):
    list_display = ("experiment", "at", "status", "is_current", "is_frozen", "engine_version", "duration_ms")
    list_select_related = ("experiment",)
    list_filter = ("status", "is_current")
    search_fields = ("experiment__key",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Snapshot]:
        # A list of reports would be read in full to show six columns.
        rows: QuerySet[Snapshot] = super().get_queryset(request)
        match = request.resolver_match
        is_list = match is not None and match.url_name == "experiments_snapshot_changelist"
        return rows.defer("report", "sql", "aggregates") if is_list else rows


@admin.register(Look)
class LookAdmin(FactAdmin):
    list_display = ("experiment", "metric", "arm", "day", "lift", "lift_lower", "lift_upper", "p_value", "refusal")
    list_select_related = ("experiment", "metric", "arm")
    search_fields = ("experiment__key",)


@admin.register(Refresh)
class RefreshAdmin(ReadOnlyAdmin):
    list_display = ("experiment", "attempted_at", "locked_until", "failures_n", "error")
    list_select_related = ("experiment",)
    ordering = ("-failures_n", "-pk")


@admin.register(Certificate)
class CertificateAdmin(ReadOnlyAdmin):
    list_display = ("experiment", "at", "duration_ms")
    list_select_related = ("experiment",)
    search_fields = ("experiment__key",)
    ordering = ("-pk",)


@admin.register(LedgerQuarter)
class LedgerQuarterAdmin(ReadOnlyAdmin):
    list_display = ("starts_on", "unit_type", "metric", "at", "is_closed")
    list_select_related = ("metric",)
    ordering = ("-starts_on", "-pk")


@admin.register(MetricSurvey)
class MetricSurveyAdmin(ReadOnlyAdmin):
    list_display = ("metric", "asked_at", "done_at", "error")
    list_select_related = ("metric",)
    ordering = ("-asked_at", "-pk")


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    list_display = ("experiment", "kind", "subject", "at")
    list_select_related = ("experiment",)
    list_filter = ("kind",)
    search_fields = ("experiment__key",)
    ordering = ("-pk",)


@admin.register(AlertDelivery)
class AlertDeliveryAdmin(ReadOnlyAdmin):
    list_display = ("alert", "recipient", "status", "attempts_n", "due_at", "sent_at", "error")
    list_select_related = ("alert", "recipient")
    list_filter = ("status",)
    ordering = ("-pk",)


@admin.register(Recipient)
class RecipientAdmin(ReadOnlyAdmin):
    """Added and removed on the page of alerts: the secret is shown once, there."""

    list_display = ("address", "kind", "experiment", "is_active", "created_at", "created_by")
    list_select_related = ("experiment", "created_by")
    list_filter = ("kind", "is_active")
    exclude = ("nonce",)
    ordering = ("address", "pk")


@admin.register(DigestSubscription)
class DigestSubscriptionAdmin(ReadOnlyAdmin):
    list_display = ("address", "language", "created_at", "confirmed_at", "ended_at", "last_week")
    search_fields = ("=address",)
    exclude = ("nonce",)
    ordering = ("-pk",)
