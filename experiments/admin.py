"""The admin of experiments: everything can be looked at, states change through services only.

Fact tables hold millions of rows, so their lists neither count nor sort them: the number of rows is counted up to a
cap, and the order is that of the primary key.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from experiments.errors import CannotTransition
from experiments.models import (
    Alert,
    AlertDelivery,
    Arm,
    Certificate,
    ChangeLog,
    Decision,
    DigestSubscription,
    DirtyUnit,
    Experiment,
    ExperimentMetric,
    Exposure,
    FactsState,
    FrozenUnit,
    Holdout,
    Layer,
    LedgerQuarter,
    Look,
    Metric,
    MetricSurvey,
    Phase,
    PhaseArm,
    Prerequisite,
    RampStep,
    Recipient,
    Refresh,
    Snapshot,
    StaleUnit,
)
from experiments.services import lifecycle
from experiments.tasks import refresh_experiment

COUNT_CAP = 10_000
"""Rows that a list of facts counts at most; the database would read all of a large table to count further."""


class CappedPaginator(Paginator[Any]):
    """Pages over a huge table: the count stops at the cap."""

    @cached_property
    def count(self) -> int:
        # The admin passes a query set, of which a slice can be counted.
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]  # the admin's lists are query sets
        return rows[:COUNT_CAP].count()


class ReadOnlyAdmin(admin.ModelAdmin[Any]):
    """Rows that only services write."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class FactAdmin(ReadOnlyAdmin):
    """Tables of millions of rows."""

    paginator = CappedPaginator
    ordering = ("-pk",)
    sortable_by = ()


class ReadOnlyInline(admin.TabularInline[Any, Any]):
    extra = 0
    can_delete = False
    show_change_link = False

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class ArmInline(ReadOnlyInline):
    model = Arm
    ordering = ("position",)
    fields = ("position", "key", "name", "is_control", "payload")


class PhaseInline(ReadOnlyInline):
    model = Phase
    ordering = ("number",)
    fields = ("number", "coverage", "targeting", "started_at", "ended_at")


class ExperimentMetricInline(ReadOnlyInline):
    model = ExperimentMetric
    ordering = ("pk",)
    fields = ("metric", "role", "margin", "ceiling", "window_hours")


class DecisionInline(ReadOnlyInline):
    model = Decision
    ordering = ("-pk",)
    fields = ("outcome", "arm", "holdback", "reason", "at", "by", "reverted_at", "reverted_by")


@admin.register(Experiment)
class ExperimentAdmin(ReadOnlyAdmin):
    list_display = ("name", "key", "status", "unit_type", "layer", "owner", "started_at", "results_link")
    list_filter = ("status", "is_demo", "layer")
    list_select_related = ("layer", "owner")
    search_fields = ("key", "name")
    ordering = ("-created_at", "-pk")
    inlines = (ArmInline, PhaseInline, ExperimentMetricInline, DecisionInline)
    actions = ("start", "pause", "resume", "stop", "emergency_stop", "archive", "refresh")

    @admin.display(description=gettext_lazy("results"))
    def results_link(self, experiment: Experiment) -> SafeString:
        url = reverse("experiments:experiment-detail", kwargs={"key": experiment.key})
        return format_html('<a href="{}">{}</a>', url, _("Results"))

    def has_launch_permission(self, request: HttpRequest) -> bool:
        """Who may change a state; the admin hides the actions from everybody else."""
        return request.user.has_perm("experiments.launch_experiment")

    @admin.action(description=gettext_lazy("Start"), permissions=["launch"])
    def start(self, request: HttpRequest, queryset: QuerySet[Experiment]) -> None:
        self._transition(request, queryset, lifecycle.start)

    @admin.action(description=gettext_lazy("Pause"), permissions=["launch"])
    def pause(self, request: HttpRequest, queryset: QuerySet[Experiment]) -> None:
        self._transition(request, queryset, lifecycle.pause)

    @admin.action(description=gettext_lazy("Resume"), permissions=["launch"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Experiment]) -> None:
        self._transition(request, queryset, lifecycle.resume)

    @admin.action(description=gettext_lazy("Stop"), permissions=["launch"])
    def stop(self, request: HttpRequest, queryset: QuerySet[Experiment]) -> None:
        self._transition(request, queryset, lifecycle.stop)

    @admin.action(description=gettext_lazy("Emergency stop"), permissions=["launch"])
    def emergency_stop(self, request: HttpRequest, queryset: QuerySet[Experiment]) -> None:
        self._transition(request, queryset, lifecycle.emergency_stop)

    @admin.action(description=gettext_lazy("Archive"), permissions=["launch"])
    def archive(self, request: HttpRequest, queryset: QuerySet[Experiment]) -> None:
        self._transition(request, queryset, lifecycle.archive)

    @admin.action(description=gettext_lazy("Refresh results"), permissions=["view"])
    def refresh(self, request: HttpRequest, queryset: QuerySet[Experiment]) -> None:
        for pk in queryset.values_list("pk", flat=True):
            transaction.on_commit(partial(refresh_experiment.delay, pk), robust=True)
        messages.info(request, _("The results are being refreshed; look again in a moment."))

    def _transition(
        self, request: HttpRequest, queryset: QuerySet[Experiment], service: Callable[..., Experiment]
    ) -> None:
        assert isinstance(request.user, User)
        done = 0
        for experiment in queryset.order_by("pk"):
            try:
                service(experiment_key=experiment.key, at=timezone.now(), actor=request.user, message=_("In the admin"))
                done += 1
            except CannotTransition as error:
                for reason in error.reasons:
                    messages.error(request, f"{experiment.name}: {reason}")
        if done:
            text = ngettext("%(count)d experiment changed.", "%(count)d experiments changed.", done)
            messages.success(request, text % {"count": done})


@admin.register(Layer)
class LayerAdmin(admin.ModelAdmin[Layer]):
    list_display = ("name", "key", "is_demo")
    search_fields = ("key", "name")
    readonly_fields = ("seed",)
    ordering = ("key",)

    def get_readonly_fields(self, request: HttpRequest, obj: Layer | None = None) -> tuple[str, ...]:
        # A key in use is a reference in other people's code.
        return ("seed",) if obj is None else ("seed", "key")


@admin.register(Holdout)
class HoldoutAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "layer", "unit_type", "number", "share", "starts_at", "ends_at")
    list_select_related = ("layer",)
    ordering = ("-pk",)


class PhaseArmInline(ReadOnlyInline):
    model = PhaseArm
    ordering = ("arm__position",)
    fields = ("arm", "weight")


@admin.register(Phase)
class PhaseAdmin(ReadOnlyAdmin):
    list_display = ("experiment", "number", "coverage", "started_at", "ended_at")
    list_select_related = ("experiment",)
    search_fields = ("experiment__key",)
    ordering = ("-pk",)
    inlines = (PhaseArmInline,)


@admin.register(Metric)
class MetricAdmin(ReadOnlyAdmin):
    list_display = ("name", "key", "version", "kind", "direction", "unit", "is_builtin", "is_current")
    list_filter = ("is_current", "is_builtin", "kind")
    search_fields = ("key", "name")
    ordering = ("key", "-version")


@admin.register(Exposure)
class ExposureAdmin(FactAdmin):
    list_display = ("unit_type", "unit_id", "experiment", "arm", "phase", "first_at", "source")
    list_select_related = ("experiment", "arm", "phase")
    list_filter = ("experiment",)
    search_fields = ("unit_id__exact",)
    search_help_text = gettext_lazy("The exact id of a unit")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Exposure], search_term: str
    ) -> tuple[QuerySet[Exposure], bool]:
        if not search_term:
            return queryset, False
        # Naming the few unit types lets the database use the index on (type, id).
        types = list(Experiment.objects.order_by().values_list("unit_type", flat=True).distinct())
        return queryset.filter(unit_type__in=types, unit_id=search_term), False


@admin.register(ChangeLog)
class ChangeLogAdmin(FactAdmin):
    list_display = ("at", "object_type", "object_id", "transition", "actor", "message")
    list_select_related = ("actor",)
    list_filter = ("transition",)
    search_fields = ("=object_id",)
    search_help_text = gettext_lazy("The id of an object")


@admin.register(Decision)
class DecisionAdmin(ReadOnlyAdmin):
    list_display = ("experiment", "outcome", "arm", "holdback", "at", "by", "reverted_at")
    list_select_related = ("experiment", "arm", "by")
    list_filter = ("outcome",)
    search_fields = ("experiment__key",)
    ordering = ("-pk",)


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


@admin.register(FrozenUnit)
class FrozenUnitAdmin(FactAdmin):
    """Erased people's contributions: no row leads back to a person."""

    list_display = ("token", "experiment", "phase", "arms")
    list_select_related = ("experiment", "phase")
    search_fields = ("experiment__key",)


@admin.register(RampStep)
class RampStepAdmin(ReadOnlyAdmin):
    list_display = ("phase", "after", "coverage", "applied_at")
    list_select_related = ("phase__experiment",)
    ordering = ("-pk",)


@admin.register(Prerequisite)
class PrerequisiteAdmin(ReadOnlyAdmin):
    list_display = ("experiment", "required", "arm_key")
    list_select_related = ("experiment", "required")
    ordering = ("-pk",)


@admin.register(MetricSurvey)
class MetricSurveyAdmin(ReadOnlyAdmin):
    list_display = ("metric", "asked_at", "done_at", "error")
    list_select_related = ("metric",)
    ordering = ("-asked_at", "-pk")


@admin.register(FactsState)
class FactsStateAdmin(ReadOnlyAdmin):
    list_display = ("experiment", "units_n", "recomputed_n", "until")
    list_select_related = ("experiment",)
    ordering = ("-pk",)


@admin.register(DirtyUnit)
class DirtyUnitAdmin(FactAdmin):
    list_display = ("unit", "claim")


@admin.register(StaleUnit)
class StaleUnitAdmin(FactAdmin):
    list_display = ("state", "unit")
    list_select_related = ("state__experiment",)
