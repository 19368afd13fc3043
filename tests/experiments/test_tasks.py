"""Tasks as the worker runs them: retries, failures that are recorded, outboxes that are emptied."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core import mail
from django.db import OperationalError
from django.utils import timezone

from experiments import tasks
from experiments.models import DigestSubscription, Refresh
from experiments.services import digest, refresh
from experiments.services.alerts import raise_alerts
from experiments.services.recipients import add_recipient
from tests.experiments.services.test_alerts import make_alarming_report
from tests.factories.experiments import make_experiment

pytestmark = pytest.mark.django_db


def test_refresh__database_that_comes_back__is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [OperationalError("the database system is starting up"), None]

    def fail_once(**_more: object) -> refresh.RefreshOutcome:
        error = answers.pop(0)
        if error is not None:
            raise error
        return refresh.RefreshOutcome("ok")

    monkeypatch.setattr(refresh, "refresh_experiment", fail_once)
    assert tasks.refresh_experiment.apply(args=(1,)).get() == "ok"
    assert answers == []


def test_refresh__database_that_stays_away__is_recorded_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = make_experiment(status="running")
    tried = []

    def fail(**_more: object) -> refresh.RefreshOutcome:
        tried.append(1)
        raise OperationalError("connection refused")

    monkeypatch.setattr(refresh, "refresh_experiment", fail)
    assert tasks.refresh_experiment.apply(args=(experiment.pk,)).get() == "failed"
    assert len(tried) == 1 + tasks.RETRIES
    row = Refresh.objects.get()
    assert (row.failures_n, "connection refused" in row.error) == (1, True)


def test_send_alerts__outboxes__are_emptied() -> None:
    at = timezone.now()
    add_recipient(kind="email", address="ana@example.com", at=at, kinds=["srm"])
    raise_alerts(experiment=make_experiment(status="running"), report=make_alarming_report(), at=at)
    digest.invite(address="eva@example.com", at=at)
    tasks.send_alerts()
    assert sorted(message.to[0] for message in mail.outbox) == ["ana@example.com", "eva@example.com"]


def test_send_digests__reader__gets_one() -> None:
    reader = digest.invite(address="eva@example.com", at=timezone.now())
    confirmed = timezone.now() - timedelta(days=8)
    DigestSubscription.objects.filter(pk=reader.pk).update(confirmed_at=confirmed, invitation_sent_at=confirmed)
    tasks.send_digests()
    tasks.send_digests()
    assert len(mail.outbox) <= 1  # none before Monday morning, one after it
