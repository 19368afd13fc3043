"""Processes are killed while clients send numbered messages: every acknowledged message is stored once.

Web workers, the Celery worker that drains, beat, and on PostgreSQL a whole database server of its own, all by SIGKILL.
"""

from __future__ import annotations

import base64
import http.client
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from django.conf import settings

from tests.endtoend.cluster import Cluster
from tests.endtoend.stack import Stack, until

pytestmark = [pytest.mark.slow, pytest.mark.worker]
CLIENTS = 4
PER_REQUEST = 20
MESSAGES = int(os.environ.get("HOLDOUT_FAULT_MESSAGES", "100000"))  # at least
KILLS = 10  # at least, each with a request in flight
PAUSE = 0.02  # seconds between requests, so that they last as long as the kills
TWICE = 25  # every so many batches the acknowledgement counts as lost, and the batch is sent again
# A member of the group that ends more than five times in a row without settling ends the group: that is not tried here.
PLAN = (
    *("web", "worker", "database", "web", "worker", "beat", "database"),
    *("worker", "web", "worker", "database", "web", "worker", "beat"),
)


class Client(threading.Thread):
    """Sends batches of numbered messages and repeats each until it is acknowledged, as the real clients do."""

    def __init__(self, url: str, secret: str, label: str, amount: int) -> None:
        super().__init__(daemon=True)
        self.url, self.secret, self.label, self.amount = url, secret, label, amount
        self.acknowledged: list[str] = []
        self.repeated = 0
        self.duplicates = 0
        self.is_waiting = False
        self.may_stop = threading.Event()

    def run(self) -> None:
        """Send at least the amount, and go on until told that nothing will be killed any more."""
        for first in itertools.count(0, PER_REQUEST):
            if first >= self.amount and self.may_stop.is_set():
                return
            ids = [f"{self.label}-{number}" for number in range(first, first + PER_REQUEST)]
            while not self.send(ids):
                self.repeated += 1
                time.sleep(0.05)
            self.acknowledged += ids
            if first // PER_REQUEST % TWICE == 0 and self.send(ids):
                self.duplicates += len(ids)
            time.sleep(PAUSE)

    def send(self, ids: list[str]) -> bool:
        messages = [
            {
                "type": "track",
                "event": "Page Viewed",
                "anonymousId": f"a{zlib.crc32(one.encode()) % 500}",
                "messageId": one,
            }
            for one in ids
        ]
        request = urllib.request.Request(
            f"{self.url}/v1/batch",
            data=json.dumps({"batch": messages}).encode(),
            headers={"Authorization": "Basic " + base64.b64encode(f"{self.secret}:".encode()).decode()},
        )
        self.is_waiting = True
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError, ValueError, http.client.HTTPException):
            return False
        finally:
            self.is_waiting = False


def victims(stack: Stack, kind: str) -> list[psutil.Process]:
    """Return the processes of one kind: the web server's worker, the Celery worker, or beat."""
    assert stack.process is not None
    children = psutil.Process(stack.process.pid).children(recursive=True)
    marks = {"web": "granian", "worker": "worker", "beat": "beat"}
    found = []
    for child in children:
        try:
            if marks[kind] in child.cmdline():
                found.append(child)
        except psutil.Error:
            continue
    return found


def prepare_source(stack: Stack) -> str:
    """Return a write key's secret."""
    return stack.run(
        "from django.utils import timezone\n"
        "from marketing.choices import SourceKind\n"
        "from marketing.services.sources import ensure_source, issue_key\n"
        "source = ensure_source(name='shop', kind=SourceKind.SERVER, at=timezone.now())\n"
        "print(issue_key(source=source, scopes=['write'], at=timezone.now())[1])"
    ).strip()


@pytest.fixture
def cluster() -> Iterator[Cluster | None]:
    """A database server to be killed, where the suite runs on PostgreSQL."""
    if not settings.DATABASES["default"]["ENGINE"].endswith("postgresql"):
        yield None
        return
    made = Cluster()
    made.start()
    yield made
    made.remove()


def strike(stack: Stack, kind: str, cluster: Cluster | None, chance: random.Random) -> None:
    """Kill one process of the kind, or the database server."""
    if kind == "database":
        assert cluster is not None
        cluster.kill()
        cluster.start()
        return
    found = until(lambda: victims(stack, kind), what=kind)
    os.kill(chance.choice(found).pid, signal.SIGKILL)


def test_intake__processes_killed_ten_times__acknowledged_messages_are_there_once(
    tmp_path: Path, cluster: Cluster | None
) -> None:
    stack = Stack(folder=tmp_path, database_url="" if cluster is None else cluster.url)
    try:
        stack.start()
        bombard(stack, cluster)
    finally:
        stack.stop()


def bombard(stack: Stack, cluster: Cluster | None) -> None:
    secret = prepare_source(stack)
    clients = [Client(stack.url, secret, f"c{number}", MESSAGES // CLIENTS) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    chance = random.Random(1)
    kills: Counter[str] = Counter()
    in_flight = 0
    for planned in PLAN:
        kind = "worker" if planned == "database" and cluster is None else planned
        time.sleep(chance.uniform(1.0, 2.5))
        in_flight += until(lambda: any(client.is_waiting for client in clients), what="request in flight", pause=0.001)
        strike(stack, kind, cluster, chance)
        kills[kind] += 1
        assert stack.process is not None
        assert stack.process.poll() is None, stack.log.read_text()[-3000:]
    assert in_flight >= KILLS
    for client in clients:
        client.may_stop.set()
    for client in clients:
        client.join(timeout=300)
        assert not client.is_alive()
    acknowledged = [one for client in clients for one in client.acknowledged]
    repeated, duplicates = sum(client.repeated for client in clients), sum(client.duplicates for client in clients)
    sys.stdout.write(
        f"{len(acknowledged)} acknowledged, {dict(kills)} killed, {in_flight} times with a request in flight, "
        f"{repeated} requests repeated, {duplicates} duplicates acknowledged\n"
    )
    assert len(acknowledged) >= MESSAGES
    assert repeated > 0, "no request was in flight when a process was killed"
    assert duplicates > 0

    def drained() -> bool:
        return stack.run("from marketing.models import Event; print(Event.objects.count())").strip() == str(
            len(acknowledged)
        )

    until(drained, what=f"{len(acknowledged)} events in the database", patience=180)
    stored = stack.run(
        "from marketing.models import Event\nprint('\\n'.join(Event.objects.values_list('message_id', flat=True)))"
    ).split()
    assert len(stored) == len(set(stored))
    assert set(stored) == set(acknowledged)


def test_intake__supervisor_killed__processes_end_and_nothing_is_lost(stack: Stack) -> None:
    stack.start()
    secret = prepare_source(stack)
    client = Client(stack.url, secret, "c", 5_000)
    client.may_stop.set()
    client.start()
    until(lambda: len(client.acknowledged) > 500, what="first acknowledged messages")
    assert stack.process is not None
    os.kill(stack.process.pid, signal.SIGKILL)
    stack.process.wait()

    def port_is_free() -> bool:
        listening = subprocess.run(
            ["ss", "-ltnH", f"sport = :{stack.port}"], capture_output=True, text=True, check=True
        )
        return not listening.stdout.strip()

    until(port_is_free, what="end of the orphaned web server", patience=30)
    stack.start()
    client.join(timeout=120)
    assert not client.is_alive()
    count = "from marketing.models import Event; print(Event.objects.count())"
    until(lambda: stack.run(count).strip() == "5000", what="5000 events", patience=60)
