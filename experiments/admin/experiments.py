"""Experiments and what they are made of: arms, phases, layers, holdouts, metrics, decisions, the log of changes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from experiments.admin.base import FactAdmin, ReadOnlyAdmin, ReadOnlyInline
from experiments.errors import CannotTransition
from experiments.models import (
    Arm,
    ChangeLog,
    Decision,
    Experiment,
    ExperimentMetric,
    Holdout,
    Layer,
    Metric,
    Phase,
    PhaseArm,
    Prerequisite,
    RampStep,
)
from experiments.services import lifecycle
from experiments.tasks import refresh_experiment


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


@admin.register(Decision)
class DecisionAdmin(ReadOnlyAdmin):
    list_display = ("experiment", "outcome", "arm", "holdback", "at", "by", "reverted_at")
    list_select_related = ("experiment", "arm", "by")
    list_filter = ("outcome",)
    search_fields = ("experiment__key",)
    ordering = ("-pk",)


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


@admin.register(ChangeLog)
class ChangeLogAdmin(FactAdmin):
    list_display = ("at", "object_type", "object_id", "transition", "actor", "message")
    list_select_related = ("actor",)
    list_filter = ("transition",)
    search_fields = ("=object_id",)
    search_help_text = gettext_lazy("The id of an object")
