"""The health of all experiments at once."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from experiments.models import Experiment, Snapshot
from experiments.reports import Message, encode_report
from experiments.selectors.fleet import get_fleet
from experiments.services.refresh import record_failure
from tests.experiments.reports import make_health, make_report
from tests.factories.experiments import STARTED, make_experiment

pytestmark = pytest.mark.django_db
URL = reverse("experiments:fleet-health")


@pytest.fixture
def client() -> Client:
    user = User.objects.create_user("ana")
    user.user_permissions.set(Permission.objects.filter(codename="view_experiment"))
    client = Client()
    client.force_login(user)
    return client


def make_result(p_value: float, *, at: datetime = STARTED, is_healthy: bool = True) -> Experiment:
    experiment = make_experiment(status="running")
    health = make_health(is_healthy=is_healthy)
    message = Message("srm_mismatch", {"p_value": p_value}, level="bad")
    health = replace(
        health, srm=replace(health.srm, p_value=p_value), messages=health.messages if is_healthy else (message,)
    )
    report = make_report(health=health, at=at.isoformat(), experiment=experiment.key)
    Snapshot.objects.create(
        experiment=experiment, at=at, status="ok", is_current=True, report=encode_report(report), engine_version="2"
    )
    return experiment


def test_page__no_experiment__says_so(client: Client) -> None:
    make_experiment()
    assert "No experiment has started yet" in client.get(URL).content.decode()


def test_page__many__sick_ones_first_within_the_query_budget(client: Client) -> None:
    for p_value in (0.3, 0.5, 0.7, 0.9):
        make_result(p_value)
    sick = make_result(1e-7, is_healthy=False)
    failing = make_experiment(status="running")
    record_failure(experiment_id=failing.pk, at=STARTED, error=OSError("disk full"))
    make_experiment(status="archived")
    with CaptureQueriesContext(connection) as queries:
        page = client.get(URL).content.decode()
    assert len(queries) <= 8
    assert "disk full" not in page  # what went wrong inside is told on the experiment's own page
    assert "The last refresh failed." in page
    assert page.count("Not to be trusted") == 3  # the tile and two rows
    assert page.count("stands out") == 1
    assert page.index(sick.name) < page.index(Experiment.objects.order_by("pk")[0].name)


def test_fleet__chance__is_told_beside_what_was_found() -> None:
    for p_value in (0.01, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.99, 0.5, 0.3):
        make_result(p_value)
    fleet = get_fleet(at=STARTED)
    assert (fleet.tested_n, fleet.below_n, fleet.expected_below) == (10, 1, 0.5)
    assert not any(row.is_flagged for row in fleet.rows)  # one of ten below 5 % is no discovery
    assert fleet.unhealthy_n == 0


def test_fleet__no_refresh_for_hours__is_stale() -> None:
    make_result(0.5)
    assert not get_fleet(at=STARTED + timedelta(minutes=30)).rows[0].is_stale
    assert get_fleet(at=STARTED + timedelta(hours=2)).rows[0].is_stale
