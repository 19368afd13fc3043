"""Metrics: what there is, what one means and says, and drafts of new ones."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from experiments.errors import CannotUseMetric
from experiments.forms.metrics import MetricForm, initial_of
from experiments.models import Metric
from experiments.selectors.metrics import MetricPage, get_metric_page, list_metric_rows
from experiments.services.metrics import discard_draft, draft_metric, publish_metric
from experiments.services.surveys import ask_for_survey
from experiments.tasks import survey_metric

VIEW = "experiments.view_experiment"
CHANGE = "experiments.change_experiment"


@require_safe
@login_required
@permission_required(VIEW, raise_exception=True)
def metric_list(request: HttpRequest) -> HttpResponse:
    """Every metric with its kind and its uses."""
    return render(request, "experiments/metrics/list.html", {"rows": list_metric_rows()})


@require_safe
@login_required
@permission_required(VIEW, raise_exception=True)
def metric_detail(request: HttpRequest, key: str) -> HttpResponse:
    """What a metric means, what it says about the people who are here, and which experiments use it."""
    version = request.GET.get("version", "")
    page = _page_or_404(key, version=int(version) if version.isdecimal() else None)
    return render(request, "experiments/metrics/detail.html", {"page": page, "metric": page.metric})


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@permission_required(CHANGE, raise_exception=True)
def metric_create(request: HttpRequest) -> HttpResponse:
    """Draft a metric."""
    form = MetricForm(request.POST or None, is_new=True)
    if request.method == "POST" and form.is_valid():
        key = form.cleaned_data["key"]
        if get_metric_page(key=key) is None:
            return _store(request, form, key=key)
        form.add_error("key", _("There is a metric %(key)s already; change that one.") % {"key": key})
    return _form(request, form, status=422 if request.method == "POST" else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@permission_required(CHANGE, raise_exception=True)
def metric_edit(request: HttpRequest, key: str) -> HttpResponse:
    """Change the draft of a metric, or begin one from the version in use."""
    page = _page_or_404(key)
    if page.metric.is_builtin:
        messages.warning(request, _("Built-in metrics stay as they are; make one of your own."))
        return redirect("experiments:metric-detail", key=key)
    if request.method != "POST":
        return _form(request, MetricForm(is_new=False, initial=initial_of(page.draft or page.metric)), key=key)
    form = MetricForm(request.POST, is_new=False)
    return _store(request, form, key=key) if form.is_valid() else _form(request, form, key=key, status=422)


@require_POST
@login_required
@permission_required(VIEW, raise_exception=True)
def metric_survey(request: HttpRequest, key: str) -> HttpResponse:
    """Ask the worker to try the metric on everybody and on the demo world."""
    version = request.POST.get("version", "")
    page = _page_or_404(key, version=int(version) if version.isdecimal() else None)
    _ask(page.metric)
    messages.info(request, _("The metric is being tried; look again in a moment."))
    return _back(page.metric)


@require_POST
@login_required
@permission_required(CHANGE, raise_exception=True)
def metric_publish(request: HttpRequest, key: str) -> HttpResponse:
    """Let experiments use the draft."""
    try:
        metric = publish_metric(key=key)
    except CannotUseMetric as error:
        messages.error(request, str(error))
    else:
        messages.success(
            request,
            _("Version %(version)s can be used from now on. Experiments that run keep the version of their plan.")
            % {"version": metric.version},
        )
    return redirect("experiments:metric-detail", key=key)


@require_POST
@login_required
@permission_required(CHANGE, raise_exception=True)
def metric_discard(request: HttpRequest, key: str) -> HttpResponse:
    """Throw the draft away."""
    try:
        discard_draft(key=key)
    except CannotUseMetric as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("The draft is gone."))
    return redirect("experiments:metric-list")


def _store(request: HttpRequest, form: MetricForm, *, key: str) -> HttpResponse:
    metric = draft_metric(draft=form.draft(key=key))
    _ask(metric)
    messages.success(request, _("The draft is stored and being tried. Publish it when it says what you mean."))
    return _back(metric)


def _ask(metric: Metric) -> None:
    ask_for_survey(metric_id=metric.pk, at=timezone.now())
    # robust: without a broker the schedule finds it
    transaction.on_commit(lambda: survey_metric.delay(metric.pk), robust=True)


def _back(metric: Metric) -> HttpResponse:
    response = redirect("experiments:metric-detail", key=metric.key)
    response["Location"] += f"?version={metric.version}"
    return response


def _form(request: HttpRequest, form: MetricForm, *, key: str = "", status: int = 200) -> HttpResponse:
    return render(request, "experiments/metrics/form.html", {"form": form, "key": key}, status=status)


def _page_or_404(key: str, *, version: int | None = None) -> MetricPage:
    page = get_metric_page(key=key, version=version)
    if page is None:
        raise Http404
    return page
