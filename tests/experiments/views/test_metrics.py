"""The pages of metrics: what one means, what it says, drafts and their publication."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from experiments.models import Experiment, Metric, MetricSurvey
from experiments.selectors import list_metrics
from experiments.services import surveys
from experiments.services.builtin_metrics import BUILTIN, MetricDraft
from experiments.services.metrics import define_metric, draft_metric, ensure_builtin_metrics
from experiments.services.surveys import make_survey, waiting_ids
from experiments.tasks import survey_metric
from experiments.templatetags.metric_pages import in_words
from tests.factories.campaigns import make_user
from tests.factories.experiments import STARTED, expose, make_experiment
from tests.factories.marketing import make_profile, send, track

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
LIST = "/experiments/-/metrics/"
FORM: dict[str, Any] = {
    "name": "Median shoe order",
    "key": "median_shoes",
    "description": "What half of the shoe buyers spend at most.",
    "tags": "shoes, money",
    "kind": "quantile",
    "direction": "up",
    "unit": "money",
    "event_types": "Order Completed",
    "aggregation": "sum",
    "filters": "category = shoes\nquantity >= 2",
    "quantile_percent": "50",
    "per_event": "on",
    "window_hours": "168",
    "delay_hours": "0",
    "lookback_days": "0",
}


@pytest.fixture
def analyst(client: Client) -> Client:
    client.force_login(make_user(role="analyst"))
    return client


def shop() -> Experiment:
    """Ten people, half of whom buy after the exposure of a demo experiment."""
    experiment = make_experiment(status="running")
    Experiment.objects.filter(pk=experiment.pk).update(is_demo=True)
    for number in range(10):
        profile = make_profile(user_id=f"s{number}", at=STARTED)
        expose(experiment, str(profile.pk), arm=("control", "treatment")[number % 2], at=STARTED + DAY)
        visit = track("Page Viewed", user=f"s{number}", at=STARTED - 3 * DAY)
        before = track("Order Completed", user=f"s{number}", at=STARTED - 2 * DAY, revenue=number)
        order = track(
            "Order Completed",
            user=f"s{number}",
            at=STARTED + 2 * DAY,
            revenue=10.0 * number,
            category="shoes",
            quantity=2,
        )
        send(visit, before, *([order] if number < 5 else []), at=STARTED + 30 * DAY)
    return experiment


def test_list__built_in_metrics__each_links_to_its_page(analyst: Client) -> None:
    ensure_builtin_metrics()
    html = analyst.get(LIST).content.decode()
    assert "Average order value" in html
    assert f"{LIST}conversion/" in html
    assert "New metric" in html


def test_list__nothing_stored__says_how_to_begin(analyst: Client) -> None:
    Metric.objects.all().delete()
    assert "manage.py prepare" in analyst.get(LIST).content.decode()


def test_list__many_metrics__few_queries(analyst: Client, django_assert_max_num_queries: Any) -> None:
    ensure_builtin_metrics()
    with django_assert_max_num_queries(8):
        analyst.get(LIST)


def test_detail__surveyed__shows_words_history_variance_trial_sql_and_uses(analyst: Client) -> None:
    experiment = shop()
    metric = Metric.objects.get(key="revenue", is_current=True)
    assert "Not tried yet" in analyst.get(f"{LIST}revenue/").content.decode()
    assert make_survey(metric_id=metric.pk, at=STARTED + 30 * DAY)
    html = analyst.get(f"{LIST}revenue/").content.decode()
    for text in ("the summed values of Order Completed, Order Refunded", "Adjusted for the same number", "SELECT"):
        assert text in html
    assert 'class="chart-line"' in html
    assert f"“{experiment.key}”" in html
    conversion = analyst.get(f"{LIST}conversion/").content.decode()
    assert experiment.name in conversion


def test_survey__every_built_in__computes_its_own_number(monkeypatch: pytest.MonkeyPatch) -> None:
    # Each week is a query of its own; all twelve are computed, for one metric, by the test above.
    monkeypatch.setattr(surveys, "WEEKS", 1)
    shop()
    for metric in ensure_builtin_metrics():
        make_survey(metric_id=metric.pk, at=STARTED + 30 * DAY)
    report = {row.metric.key: row.report for row in MetricSurvey.objects.select_related("metric")}
    arms = {key: [arm["value"] for arm in found["trial"]] for key, found in report.items() if found}
    # Persons 0, 2, 4 of control and 1, 3 of treatment ordered for ten times their number.
    assert arms["conversion"] == [0.6, 0.4]
    assert arms["revenue"] == [12.0, 8.0]
    assert arms["average_order_value"] == [20.0, 20.0]
    assert arms["refund_rate"] == [0.0, 0.0]
    history = report["conversion"]["history"] if report["conversion"] else []
    assert [point["units_n"] for point in history][-1] == 10
    assert report["revenue"] is not None
    assert report["revenue"]["standard_deviation"] is not None
    assert report["average_order_value"] is not None


def test_create__quantile_of_orders__is_a_draft_that_can_be_tried_and_published(
    analyst: Client, django_capture_on_commit_callbacks: Any
) -> None:
    shop()
    with patch("experiments.views.metrics.survey_metric") as task, django_capture_on_commit_callbacks(execute=True):
        response = analyst.post(f"{LIST}new/", FORM)
    metric = Metric.objects.get(key="median_shoes")
    assert response["Location"] == f"{LIST}median_shoes/?version=1"
    task.delay.assert_called_once_with(metric.pk)
    assert (metric.is_draft, metric.is_current, metric.tags) == (True, False, ["shoes", "money"])
    assert "median_shoes" not in {choice.key for choice in list_metrics()}
    assert "is being tried" in analyst.get(response["Location"]).content.decode()
    assert waiting_ids() == [metric.pk]
    assert survey_metric(metric.pk) == "ok"
    assert waiting_ids() == []
    html = analyst.get(response["Location"]).content.decode()
    assert "single events, in clusters of one person" in html
    assert "quantity &gt;= 2" in html
    analyst.post(f"{LIST}median_shoes/publish/")
    assert "median_shoes" in {choice.key for choice in list_metrics()}
    assert analyst.post(f"{LIST}median_shoes/publish/", follow=True).content.decode().count("There is no draft") == 1


def test_edit__metric_in_use__keeps_its_version_beside_the_draft(analyst: Client) -> None:
    analyst.post(f"{LIST}new/", FORM)
    analyst.post(f"{LIST}median_shoes/publish/")
    page = analyst.get(f"{LIST}median_shoes/edit/").content.decode()
    assert "category = shoes\nquantity &gt;= 2" in page
    changed = {**FORM, "window_hours": "24"}
    analyst.post(f"{LIST}median_shoes/edit/", changed)
    versions = Metric.objects.filter(key="median_shoes").order_by("version")
    assert [(metric.version, metric.is_current, metric.is_draft) for metric in versions] == [
        (1, True, False),
        (2, False, True),
    ]
    assert "There is a draft of a new version" in analyst.get(f"{LIST}median_shoes/").content.decode()
    assert analyst.get(f"{LIST}median_shoes/?version=9").status_code == 404
    assert analyst.post(f"{LIST}median_shoes/edit/", {**changed, "window_hours": "0"}).status_code == 422
    analyst.post(f"{LIST}median_shoes/discard/")
    assert Metric.objects.filter(key="median_shoes").count() == 1
    assert "There is no draft" in analyst.post(f"{LIST}median_shoes/discard/", follow=True).content.decode()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"filters": "shoes"}, "“shoes” is no condition"),
        ({"kind": "ratio"}, "a ratio needs a denominator"),
        ({"kind": "mean"}, "a mean has no quantile"),
        ({"quantile_percent": ""}, "per_event needs a quantile"),
        ({"filters": "quantity >= many"}, "compares numbers needs a number"),
        ({"lookback_days": "14"}, "a quantile has no covariate"),
        ({"key": "conversion"}, "There is a metric conversion already"),
        ({"event_types": " , "}, "This field is required"),
    ],
)
def test_create__part_that_contradicts__is_named(analyst: Client, change: dict[str, str], message: str) -> None:
    ensure_builtin_metrics()
    response = analyst.post(f"{LIST}new/", {**FORM, **change})
    assert response.status_code == 422
    assert message in response.content.decode()
    assert not Metric.objects.filter(is_draft=True).exists()


def test_edit__built_in__stays(analyst: Client) -> None:
    ensure_builtin_metrics()
    assert "Built-in metrics stay" in analyst.get(f"{LIST}conversion/edit/", follow=True).content.decode()


def test_pages__unknown_metric__404(analyst: Client) -> None:
    for path in ("", "edit/"):
        assert analyst.get(f"{LIST}nowhere/{path}").status_code == 404
    assert analyst.post(f"{LIST}nowhere/try/").status_code == 404


def test_words__every_part__is_said() -> None:
    ensure_builtin_metrics()
    words = {metric.key: " ".join(in_words(metric)) for metric in Metric.objects.all()}
    assert "at least one of Recommendation Clicked where experiment = this experiment" in words["click_rate"]
    assert "Divided by: the number of Order Completed." in words["average_order_value"]
    assert "from 7 days after the person&#x27;s" in words["retention_7"] or "from 7 days after" in words["retention_7"]


def test_words__form_with_every_part__comes_back_as_it_was_typed(analyst: Client) -> None:
    ratio = {
        **FORM,
        "key": "depth",
        "kind": "ratio",
        "aggregation": "distinct",
        "value_property": "product_id",
        "quantile_percent": "",
        "per_event": "",
        "denominator_events": "Order Completed",
        "denominator_aggregation": "exists",
        "lookback_days": "3",
        "delay_hours": "5",
        "cap": "7",
        "minimum_sample": "50",
    }
    assert analyst.post(f"{LIST}new/", ratio).status_code == 302
    funnel = {
        **FORM,
        "key": "funnel",
        "kind": "funnel",
        "aggregation": "exists",
        "after": "Product Viewed, Product Added",
    }
    assert analyst.post(f"{LIST}new/", {**funnel, "quantile_percent": "", "per_event": ""}).status_code == 302
    mean = {**FORM, "key": "last", "kind": "mean", "aggregation": "last", "value_property": "depth", "per_event": ""}
    mean |= {"quantile_percent": "", "cap_percentile": "99"}
    assert analyst.post(f"{LIST}new/", mean).status_code == 302
    words = {metric.key: " ".join(in_words(metric)) for metric in Metric.objects.all()}
    assert "different values of “product_id”" in words["depth"]
    assert "at most 7" in words["depth"]
    assert "fewer than 50 people" in words["depth"]
    assert "from 5 hours after" in words["depth"]
    assert "after Product Viewed, Product Added in this order" in words["funnel"]
    assert "(its property “depth”)" in words["last"]
    assert "99.00-th percentile" in words["last"]
    page = analyst.get(f"{LIST}depth/edit/").content.decode()
    assert 'value="Order Completed"' in page


def test_survey_task__failure__is_kept_and_shown(analyst: Client) -> None:
    metric = draft_metric(draft=_draft("broken"))
    MetricSurvey.objects.create(metric=metric, asked_at=STARTED)
    with patch("experiments.services.surveys.survey_metric", side_effect=RuntimeError("no such column")):
        assert survey_metric(metric.pk) == "failed"
    assert "RuntimeError: no such column" in analyst.get(f"{LIST}broken/").content.decode()
    assert survey_metric(0) == "deleted"


def test_command__keys_or_what_waits__are_surveyed(capsys: pytest.CaptureFixture[str]) -> None:
    define_metric(draft=_draft("mine"))
    call_command("survey_metrics", "mine")
    assert "1 metrics surveyed" in capsys.readouterr().out
    call_command("survey_metrics")
    with pytest.raises(CommandError, match="there is no metric nowhere"):
        call_command("survey_metrics", "nowhere")


def _draft(key: str) -> MetricDraft:
    return replace(BUILTIN[0], key=key)
