"""The result page, its exports and the refresh button."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

import pyarrow.parquet as pq
import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries, DjangoCaptureOnCommitCallbacks

from experiments import tasks
from experiments.models import Experiment, Refresh, Snapshot
from experiments.reports import ExperimentReport, Message, SeriesPoint, Verdict, encode_report
from experiments.selectors import list_configs
from tests.experiments.reports import make_comparison, make_estimate, make_health, make_metric, make_report
from tests.factories.experiments import STARTED, make_experiment

pytestmark = pytest.mark.django_db
PAGE_QUERIES = 8
"""Session, user, two for permissions, experiment, snapshot, refresh, log."""


@pytest.fixture
def client(client: Client) -> Client:
    user = User.objects.create_user("ana")
    user.user_permissions.add(Permission.objects.get(codename="view_experiment"))
    client.force_login(user)
    return client


def allow(client: Client, *codenames: str) -> None:
    user = User.objects.get(username="ana")
    user.user_permissions.add(*Permission.objects.filter(codename__in=codenames))
    client.force_login(user)


def store(report: ExperimentReport, *, status: str = "running") -> Experiment:
    experiment = make_experiment(status=status)
    Snapshot.objects.create(
        experiment=experiment,
        at=STARTED + timedelta(days=10),
        status="ok",
        is_current=True,
        report=encode_report(report),
        engine_version="1",
    )
    return experiment


def url(name: str, experiment: Experiment, **more: str) -> str:
    parts = {"table": "results", "extension": "csv"} if name == "table" else {}
    return reverse(f"experiments:experiment-{name}", kwargs={"key": experiment.key, **parts, **more})


def page(client: Client, experiment: Experiment) -> str:
    response = client.get(url("detail", experiment))
    assert response.status_code == 200
    return response.content.decode()


def test_detail__report__shows_verdict_health_charts_numbers_plan_and_log(client: Client) -> None:
    html = page(client, store(make_report()))
    for text in (
        "Continue: 2,010 of 4,000 people have been measured",
        "Healthy",
        "The arms hold the shares that were designed (p = 0.800).",
        "<svg",
        "+20.0\u00a0%",
        "+1.0\u00a0% to +42.0\u00a0%",
        "Plan and outcome",
        "Started",
    ):
        assert text in html
    assert "style=" not in html
    assert "<script>" not in html


def test_detail__any_report__needs_few_queries(
    client: Client, django_assert_max_num_queries: DjangoAssertNumQueries, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = store(make_report(metrics=tuple(make_metric(key=f"m{n}") for n in range(8))))
    monkeypatch.setattr("experiments.selectors.config._is_fresh", lambda snapshot: True)
    list_configs()  # a running process knows the experiments already
    with django_assert_max_num_queries(PAGE_QUERIES):
        page(client, experiment)


def test_detail__not_for_clients__says_why(client: Client) -> None:
    html = page(client, store(make_report()))
    assert "Not in the clients&#x27; payload:" in html or "Not in the clients' payload:" in html
    assert "It randomizes profiles" in html


def test_detail__unhealthy__says_it_is_not_to_be_trusted(client: Client) -> None:
    broken = make_health(is_healthy=False, messages=(Message("srm_mismatch", {"p_value": 1e-9}, level="bad"),))
    verdict = Verdict("undecided", None, Message("not_healthy", level="bad"), broken.messages)
    html = page(client, store(make_report(health=broken, verdict=verdict)))
    assert "No verdict: something is wrong" in html
    assert "Not to be trusted" in html


def test_detail__phases_and_two_arms__are_listed(client: Client) -> None:
    health = make_health(phases=(make_health().srm,), multi_arm_n=3)
    html = page(client, store(make_report(health=health)))
    assert "Phase 0: p = 0.800" in html
    assert "In two arms" in html


def test_detail__single_look_with_truth_and_adjustment__shows_them(client: Client) -> None:
    comparison = make_comparison(true_lift=0.25, adjusted=make_estimate(variance_saved=0.1))
    report = make_report(is_single_look=True, metrics=(make_metric(comparisons=(comparison,), unit="money"),))
    html = page(client, store(report, status="stopped"))
    assert "truth: +25.0\u00a0%" in html
    assert "adjusted (10.0\u00a0% less variance)" in html
    assert "Lift over time" not in html
    assert "(EUR)" in html


def test_detail__failed_refresh__keeps_the_old_result_and_says_so(client: Client) -> None:
    experiment = store(make_report())
    Refresh.objects.create(
        experiment=experiment, attempted_at=STARTED + timedelta(days=11), failures_n=1, error="ValueError: <b>"
    )
    html = page(client, experiment)
    assert "The refresh of 13 Mar 2026, 10:00 failed." in html
    assert "You see the last good result, of 12 Mar 2026, 10:00." in html
    assert "ValueError: &lt;b&gt;" in html


def test_detail__before_the_first_refresh__says_what_will_come(client: Client) -> None:
    assert "The first refresh will come within minutes." in page(client, make_experiment(status="running"))
    html = page(client, make_experiment())
    assert "This experiment has not started." in html
    assert "Refresh</button>" not in html


def test_detail__actions__are_those_of_state_and_permission(client: Client) -> None:
    experiment = store(make_report())
    assert url("decide", experiment) not in page(client, experiment)
    allow(client, "decide_experiment", "launch_experiment")
    html = page(client, experiment)
    assert url("decide", experiment) in html
    assert f"/experiments/{experiment.key}/pause/" in html
    assert f"/experiments/{experiment.key}/start/" not in html
    decided = store(make_report(), status="decided")
    assert url("revert", decided) in page(client, decided)


@pytest.mark.parametrize("name", ["detail", "report", "table"])
def test_pages__no_access_or_wrong_method_or_unknown__refused(client: Client, name: str) -> None:
    experiment = store(make_report())
    assert client.post(url(name, experiment)).status_code == 405
    assert client.get(url(name, Experiment(key="absent"))).status_code == 404
    assert Client().get(url(name, experiment)).status_code == 302
    client.force_login(User.objects.create_user("bob"))
    assert client.get(url(name, experiment)).status_code == 403


def test_report__stored__comes_as_json(client: Client) -> None:
    report = make_report()
    response = client.get(url("report", store(report)))
    assert response["Content-Type"] == "application/json"
    assert response.json()["metrics"][0]["comparisons"][0]["raw"]["lift"] == 0.2


def test_report__none_yet__is_not_found(client: Client) -> None:
    experiment = make_experiment(status="running")
    assert client.get(url("report", experiment)).status_code == 404
    assert client.get(url("table", experiment)).status_code == 404


def test_table__metric_named_like_a_formula__cannot_run(client: Client) -> None:
    metric = make_metric(name='=HYPERLINK("x")', comparisons=(make_comparison(adjusted=make_estimate(lift=-0.1)),))
    bare = make_metric(key="bare", comparisons=(make_comparison(raw=make_estimate(lift_ci=None)),))
    response = client.get(url("table", store(make_report(metrics=(metric, bare)))))
    rows = list(csv.DictReader(io.StringIO(response.content.decode())))
    assert rows[0]["name"] == '\'=HYPERLINK("x")'
    assert rows[0]["adjusted_lift"] == "-0.1"
    assert (rows[1]["lift_lower"], rows[1]["adjusted_lift"]) == ("", "")
    assert rows[1]["any_day_p_value"] == "0.04"
    assert "attachment" in response["Content-Disposition"]


@pytest.mark.parametrize("table", ["results", "aggregates", "series"])
def test_table__as_parquet__has_the_cells_of_the_csv_with_their_types(client: Client, table: str) -> None:
    comparison = make_comparison(series=(SeriesPoint("2026-03-02", 10, 11, 0.1, None, 0.3),))
    experiment = store(make_report(metrics=(make_metric(name="=1+1", comparisons=(comparison,)),)))
    text = client.get(url("table", experiment, table=table)).content.decode()
    response = client.get(url("table", experiment, table=table, extension="parquet"))
    found = pq.read_table(io.BytesIO(response.content))
    assert found.column_names == next(csv.reader(io.StringIO(text)))
    assert found.num_rows == len(text.splitlines()) - 1 > 0
    assert set(found.column("name").to_pylist()) == {"=1+1"}  # a Parquet cell is never run
    assert response["Content-Disposition"].endswith(f'-{table}.parquet"')


def test_table__unknown__is_not_found(client: Client) -> None:
    experiment = store(make_report())
    assert client.get(url("table", experiment, table="nonsense")).status_code == 404
    assert client.get(url("table", experiment, extension="xls")).status_code == 404


def test_table__that_cannot_be_written__says_so_on_the_page(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.services.exports.SECONDS", 0.001)
    response = client.get(url("table", store(make_report()), extension="parquet"), follow=True)
    assert "Try again later" in response.content.decode()


def test_refresh__post__enqueues_one_task(
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    experiment = store(make_report())
    asked: list[int] = []
    monkeypatch.setattr(tasks.refresh_experiment, "delay", asked.append)
    with django_capture_on_commit_callbacks(execute=True):
        response = client.post(url("refresh", experiment), follow=True)
    assert asked == [experiment.pk]
    assert "are being refreshed" in response.content.decode()
    assert client.get(url("refresh", experiment)).status_code == 405


def test_refresh__no_broker__shows_the_page_all_the_same(
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    def fail(_experiment_id: int) -> None:
        raise OSError("no broker")

    monkeypatch.setattr(tasks.refresh_experiment, "delay", fail)
    with django_capture_on_commit_callbacks(execute=True):
        assert client.post(url("refresh", store(make_report()))).status_code == 302
