"""While the database is gone, events are taken in and arms are decided, also by a process that starts then."""

from __future__ import annotations

import base64
import json
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.endtoend.stack import Stack, until
from tests.endtoend.test_intake_faults import victims

pytestmark = [pytest.mark.slow, pytest.mark.worker]
SET_UP = """
from datetime import timedelta
from django.utils import timezone
from experiments.services.design import ArmSpec, Design, MetricSpec, create_experiment
from experiments.services.lifecycle import start
from marketing.choices import SourceKind
from marketing.services.sources import ensure_source, issue_key
at = timezone.now() - timedelta(days=1)
arms = (
    ArmSpec("control", "Control", 0.5, is_control=True, payload={"color": "blue"}),
    ArmSpec("treatment", "Treatment", 0.5, payload={"color": "green"}),
)
more = {"arms": arms, "metrics": (MetricSpec(key="conversion", role="primary"),), "planned_size": 100}
create_experiment(design=Design(key="button", name="Button", unit_type="user_id", **more), at=at)
start(experiment_key="button", at=at)
print(issue_key(source=ensure_source(name="shop", kind=SourceKind.SERVER, at=at), scopes=["write", "decide"], at=at)[1])
"""
STOP = """
from django.utils import timezone
from experiments.services.lifecycle import emergency_stop
emergency_stop(experiment_key="button", at=timezone.now(), message="It broke the shop.")
"""
COUNT = """
from marketing.models import Event
print(Event.objects.count(), Event.objects.values("message_id").distinct().count())
"""
GONE = 9.0  # seconds without the database: keys and experiments are asked for again at least once


class Shop:
    """A site that sends events and asks for arms."""

    def __init__(self, url: str, secret: str) -> None:
        self.url, self.secret = url, secret
        self.acknowledged = 0

    def post(self, path: str, body: Any, authorization: str) -> tuple[int, Any]:
        request = urllib.request.Request(
            self.url + path, data=json.dumps(body).encode(), headers={"Authorization": authorization}
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, None

    def send(self) -> int:
        """Send ten messages; return the status."""
        first = self.acknowledged
        messages = [
            {"type": "track", "event": "Page Viewed", "userId": f"u{number % 7}", "messageId": f"m{number}"}
            for number in range(first, first + 10)
        ]
        basic = "Basic " + base64.b64encode(f"{self.secret}:".encode()).decode()
        status, _ = self.post("/v1/batch", {"batch": messages}, basic)
        self.acknowledged += 10 if status == 200 else 0
        return status

    def arms(self) -> list[str]:
        """Return the arms of twenty people, or what went wrong."""
        found = []
        for number in range(20):
            context = {"context": {"targetingKey": f"u{number}", "consent": True}}
            status, answer = self.post("/ofrep/v1/evaluate/flags/button", context, f"Bearer {self.secret}")
            found.append(answer["variant"] if status == 200 else f"status {status}")
        return found


def take_database_away(stack: Stack) -> Callable[[], None]:
    """Make the database unreachable for everybody; return how to bring it back."""
    if not stack.database_url:
        file = Path(stack.environment()["HOLDOUT_DATA_DIR"]) / "holdout.sqlite3"
        file.rename(file.with_suffix(".away"))
        file.mkdir()  # in its place, so that nobody makes a new one

        def bring_back() -> None:
            file.rmdir()
            file.with_suffix(".away").rename(file)

        return bring_back
    import psycopg

    base, _, name = stack.database_url.rpartition("/")

    def execute(*statements: str) -> None:
        with psycopg.connect(f"{base}/postgres", autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    closed = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false", closed)
    return lambda: execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def test_database__gone__nothing_is_lost_and_arms_stay(stack: Stack) -> None:
    stack.start()
    shop = Shop(stack.url, stack.run(SET_UP).strip())
    until(lambda: shop.send() == 200, what="key that is known")
    before = shop.arms()
    assert set(before) == {"control", "treatment"}

    bring_back = take_database_away(stack)
    try:
        end = time.monotonic() + GONE
        while time.monotonic() < end:
            assert shop.send() == 200
            assert shop.arms() == before
            time.sleep(0.2)
        for process in victims(stack, "web"):
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        until(lambda: _answers(shop, before), what="answer of a process that has never seen the database")
        assert shop.send() == 200
    finally:
        bring_back()

    expected = str(shop.acknowledged)
    until(lambda: stack.run(COUNT).split() == [expected, expected], what=f"{expected} events, each once")
    stack.run(STOP)
    stopped = time.monotonic()
    until(lambda: set(shop.arms()) == {"code-default"}, what="end of the experiment", patience=5)
    assert time.monotonic() - stopped < 5


def _answers(shop: Shop, before: list[str]) -> bool:
    try:
        return shop.arms() == before and shop.send() == 200
    except OSError:
        return False
