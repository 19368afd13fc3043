"""The result page of an experiment, its exports and the refresh button."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO

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
from experiments.models import Experiment
from experiments.reports import Bounds, ExperimentReport, encode_report
from experiments.selectors import get_report, get_results, left_out_reason, list_changes
from experiments.tasks import refresh_experiment

VIEW = "experiments.view_experiment"
CHANGES_SHOWN = 20
# A spreadsheet runs a cell that starts with one of these as a formula.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
TABLE_COLUMNS = (
    "metric", "role", "arm", "control", "n_control", "n_arm", "mean_control", "mean_arm",
    "effect", "effect_lower", "effect_upper", "p_value", "lift", "lift_lower", "lift_upper", "lift_p_value",
    "adjusted_effect", "adjusted_lift", "variance_saved",
    "any_day_lift_lower", "any_day_lift_upper", "any_day_p_value",
)  # fmt: skip


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
def experiment_table(request: HttpRequest, key: str) -> HttpResponse:
    """One line per metric and arm as CSV; no cell can be taken for a formula."""
    stream = StringIO()
    writer = csv.writer(stream)
    writer.writerow(TABLE_COLUMNS)
    for row in _table(_report_or_404(key)):
        writer.writerow([_safe_cell(cell) for cell in row])
    response = HttpResponse(stream.getvalue(), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{key}.csv"'
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


def _table(report: ExperimentReport) -> Iterator[list[object]]:
    for metric in report.metrics:
        for comparison in metric.comparisons:
            raw, adjusted, always = comparison.raw, comparison.adjusted, comparison.always_valid
            yield [
                metric.name,
                metric.role,
                comparison.arm,
                comparison.control,
                comparison.n_control,
                comparison.n_arm,
                raw.mean_control,
                raw.mean_arm,
                raw.effect,
                *_pair(raw.effect_ci),
                raw.p_value,
                raw.lift,
                *_pair(raw.lift_ci),
                raw.lift_p_value,
                adjusted.effect if adjusted else None,
                adjusted.lift if adjusted else None,
                adjusted.variance_saved if adjusted else None,
                *_pair(always.lift_ci),
                always.p_value,
            ]


def _pair(bounds: Bounds | None) -> tuple[float | None, float | None]:
    return (None, None) if bounds is None else (bounds.lower, bounds.upper)


def _safe_cell(cell: object) -> object:
    """The cell, with an apostrophe before a text that a spreadsheet would run."""
    if isinstance(cell, str) and cell.startswith(FORMULA_STARTS):
        return f"'{cell}"
    return cell
