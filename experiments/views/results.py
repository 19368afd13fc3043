"""The result page of an experiment, its exports and the refresh button."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.contrib.auth.models import AnonymousUser, User
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from experiments.choices import TRANSITIONS, ExperimentStatus
from experiments.errors import CannotExport
from experiments.models import Experiment
from experiments.reports import ExperimentReport, encode_report
from experiments.selectors import get_report, get_results, left_out_reason, list_changes
from experiments.services.exports import parquet
from experiments.tables import TABLES, table_of, to_csv
from experiments.tasks import refresh_experiment

VIEW = "experiments.view_experiment"
CHANGES_SHOWN = 20
FILE_TYPES = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}


@dataclass(frozen=True, slots=True)
class Action:
    """A button of the page head."""

    label: str | Promise
    url: str
    is_primary: bool


@require_safe
@login_required
@permission_required(VIEW, raise_exception=True)
def experiment_detail(request: HttpRequest, key: str) -> HttpResponse:
    """Verdict, health, charts, numbers, plan and log of one experiment."""
    experiment = get_object_or_404(Experiment, key=key)
    context = {
        "experiment": experiment,
        "results": get_results(experiment_key=key),
        "changes": list_changes(experiment_key=key, limit=CHANGES_SHOWN),
        "actions": _actions(experiment, request.user),
        "tables": {"results": _("Results"), "aggregates": _("Totals of the arms"), "series": _("Day by day")},
        "can_refresh": experiment.started_at is not None,
        "left_out": None if experiment.started_at is None else left_out_reason(experiment_key=key, at=timezone.now()),
    }
    return render(request, "experiments/results/detail.html", context)


@require_safe
@login_required
@permission_required(VIEW, raise_exception=True)
def experiment_report(request: HttpRequest, key: str) -> JsonResponse:
    """The stored report as JSON."""
    return JsonResponse(encode_report(_report_or_404(key)), json_dumps_params={"allow_nan": False})


@require_safe
@login_required
@permission_required(VIEW, raise_exception=True)
def experiment_table(request: HttpRequest, key: str, table: str, extension: str) -> HttpResponse:
    """One of the report's tables as CSV, in which no cell can be taken for a formula, or as Parquet."""
    if table not in TABLES or extension not in FILE_TYPES:
        raise Http404
    found = table_of(_report_or_404(key), table)
    try:
        content = to_csv(found) if extension == "csv" else parquet(table=found)
    except CannotExport as error:
        messages.error(request, str(error))
        return redirect("experiments:experiment-detail", key=key)
    response = HttpResponse(content, content_type=FILE_TYPES[extension])
    response["Content-Disposition"] = f'attachment; filename="{key}-{table}.{extension}"'
    return response


@require_POST
@login_required
@permission_required(VIEW, raise_exception=True)
def experiment_refresh(request: HttpRequest, key: str) -> HttpResponse:
    """Ask the worker for a refresh."""
    experiment = get_object_or_404(Experiment, key=key)
    # robust: without a broker the scheduler refreshes anyway, so that the page need not fail
    transaction.on_commit(lambda: refresh_experiment.delay(experiment.pk), robust=True)
    messages.info(request, _("The results are being refreshed; look again in a moment."))
    return redirect("experiments:experiment-detail", key=key)


def _report_or_404(key: str) -> ExperimentReport:
    report = get_report(experiment_key=key)
    if report is None:
        raise Http404
    return report


def _actions(experiment: Experiment, user: User | AnonymousUser) -> list[Action]:
    """The transitions that this person may make now; one of them at most is the primary button."""
    allowed = [
        rule
        for rule in TRANSITIONS.values()
        if experiment.status in rule.sources and user.has_perm(rule.permission) and rule.name != "emergency_stop"
    ]
    named = {"decide": "experiments:experiment-decide", "revert": "experiments:experiment-revert"}
    is_editable = experiment.status == ExperimentStatus.DRAFT and user.has_perm("experiments.change_experiment")
    edit_url = reverse("experiments:experiment-edit", kwargs={"key": experiment.key})
    edit = [Action(label=_("Change the draft"), url=edit_url, is_primary=False)] if is_editable else []
    if user.has_perm("experiments.launch_experiment") and experiment.status != ExperimentStatus.ARCHIVED:
        traffic_url = reverse("experiments:experiment-traffic", kwargs={"key": experiment.key})
        edit.append(Action(label=_("Traffic"), url=traffic_url, is_primary=False))
    return edit + [
        Action(
            label=rule.label,
            url=reverse(named[rule.name], kwargs={"key": experiment.key})
            if rule.name in named
            else reverse("experiments:experiment-transition", kwargs={"key": experiment.key, "transition": rule.name}),
            is_primary=rule.name in ("start", "decide"),
        )
        for rule in allowed
    ]
