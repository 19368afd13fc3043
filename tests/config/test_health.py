from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import DatabaseError
from django.test import Client
from django.utils import timezone

from marketing.models import Heartbeat

pytestmark = pytest.mark.django_db


def test_healthz__no_beat_yet__is_degraded_but_serves() -> None:
    answer = Client().get("/healthz")
    assert answer.status_code == 200
    assert answer.json()["status"] == "degraded"
    assert answer.json()["last_beat_age"] is None


def test_healthz__fresh_beat__is_ok() -> None:
    Heartbeat.objects.create(name="beat", at=timezone.now() - timedelta(seconds=5))
    answer = Client().get("/healthz").json()
    assert answer["status"] == "ok"
    assert 5 <= answer["last_beat_age"] < 60


def test_healthz__old_beat__is_degraded() -> None:
    Heartbeat.objects.create(name="beat", at=timezone.now() - timedelta(hours=1))
    assert Client().get("/healthz").json()["status"] == "degraded"


def test_healthz__database_down__is_503(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**kwargs: object) -> None:
        raise DatabaseError("gone")

    monkeypatch.setattr("config.health.lag", broken)
    answer = Client().get("/healthz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "error", "database": False}


def test_healthz__other_method__is_refused() -> None:
    assert Client().post("/healthz").status_code == 405
