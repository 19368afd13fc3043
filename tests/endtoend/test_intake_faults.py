"""Web, worker and beat are killed while clients send numbered messages: every acknowledged one is stored once."""

from __future__ import annotations

import base64
import json
import os
import random
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
import zlib

import psutil
import pytest

from tests.endtoend.stack import Stack, until

pytestmark = [pytest.mark.slow, pytest.mark.worker]
CLIENTS = 4
PER_REQUEST = 20
MESSAGES = int(os.environ.get("HOLDOUT_FAULT_MESSAGES", "100000"))  # at most; clients stop once the kills are over
KILLS = 10
PAUSE = 0.002  # seconds between requests, so that they last as long as the kills


class Client(threading.Thread):
    """Sends batches of numbered messages and repeats each until it is acknowledged, as the real clients do."""

    def __init__(self, url: str, secret: str, label: str, amount: int) -> None:
        super().__init__(daemon=True)
        self.url, self.secret, self.label, self.amount = url, secret, label, amount
        self.acknowledged: list[str] = []
        self.repeated = 0
        self.may_stop = threading.Event()

    def run(self) -> None:
        for first in range(0, self.amount, PER_REQUEST):
            ids = [f"{self.label}-{number}" for number in range(first, first + PER_REQUEST)]
            while not self.send(ids):
                self.repeated += 1
                time.sleep(0.05)
            self.acknowledged += ids
            if self.may_stop.is_set():
                return
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
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError, ValueError):
            return False


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


def test_intake__processes_killed_ten_times__acknowledged_messages_are_there_once(stack: Stack) -> None:
    stack.start()
    secret = prepare_source(stack)
    clients = [Client(stack.url, secret, f"c{number}", MESSAGES // CLIENTS) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    chance = random.Random(1)
    kills = 0
    while kills < KILLS:
        time.sleep(chance.uniform(0.5, 1.5))
        found = victims(stack, ("web", "worker", "web", "beat", "worker")[kills % 5])
        if found:
            os.kill(chance.choice(found).pid, signal.SIGKILL)
            kills += 1
        assert stack.process is not None
        assert stack.process.poll() is None, stack.log.read_text()[-3000:]
    for client in clients:
        client.may_stop.set()
        client.join(timeout=120)
        assert not client.is_alive()
    acknowledged = [one for client in clients for one in client.acknowledged]
    assert sum(client.repeated for client in clients) > 0, "no request was in flight when a process was killed"

    def drained() -> bool:
        return stack.run("from marketing.models import Event; print(Event.objects.count())").strip() == str(
            len(acknowledged)
        )

    until(drained, what=f"{len(acknowledged)} events in the database", patience=120)
    stored = stack.run(
        "from marketing.models import Event\nprint('\\n'.join(Event.objects.values_list('message_id', flat=True)))"
    ).split()
    assert len(stored) == len(set(stored))
    assert set(stored) == set(acknowledged)


def test_intake__supervisor_killed__processes_end_and_nothing_is_lost(stack: Stack) -> None:
    stack.start()
    secret = prepare_source(stack)
    client = Client(stack.url, secret, "c", 5_000)
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
