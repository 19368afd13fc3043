"""Workers, beat, broker and database are killed with messages in the air: nobody twice, or nobody missed.

Where the suite runs on PostgreSQL, the database is a server of its own that is killed, and so is Redis as the broker.
On SQLite there is no server of either: the folder of the broker is emptied instead.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from tests.endtoend.cluster import Cluster
from tests.endtoend.stack import Stack, free_port, until
from tests.endtoend.test_intake_faults import victims
from tests.smtp import smtp_server

pytestmark = [pytest.mark.slow, pytest.mark.worker]
MESSAGES = int(os.environ.get("HOLDOUT_FAULT_MAILS", "10000"))
# A member of the group that ends more than five times in a row without settling ends the group: that is not tried here.
PLAN = ("worker", "database", "beat", "broker", "worker", "database", "worker", "broker", "beat", "worker", "database")
THREADS = 8
PATIENCE = 240.0  # seconds; a lease and a restart on a busy machine

MAKE = """
from django.utils import timezone
from datetime import timedelta
from marketing.models import Sender
from marketing.services.campaigns import ArmDraft, CampaignDraft, create_campaign
from marketing.services.lifecycle import launch
from marketing.services.reviews import switch_review
at = timezone.now() - timedelta(minutes=1)
sender = Sender.objects.create(name="Shop", email="news@shop.example", postal_address="1 High Street")
draft = CampaignDraft(
    slug="faults", name="Faults", goal_metric="conversion", consent_purposes=("analytics",), mde=0.5,
    people_per_day=100_000, kind="email", sender_id=sender.pk, window_from=0, window_until=24, crash_policy="{policy}",
    arms=(
        ArmDraft(key="control", name="A", percent=50, subject="A", headline="A", body="a", is_control=True),
        ArmDraft(key="other", name="B", percent=50, subject="B", headline="B", body="b"),
    ),
)
switch_review(is_on=False, reason="There is one of us.", at=at)
launch(campaign_id=create_campaign(draft=draft, at=at).pk, at=at)
"""
LEDGER = """
import json
from marketing.models import Delivery
print(json.dumps(list(Delivery.objects.values_list("profile__email", "status"))))
"""


class Sink:
    """Takes every message after a moment, and counts those it acknowledged or was about to."""

    def __init__(self) -> None:
        self.taken: Counter[str] = Counter()
        self.ids: dict[str, set[str]] = {}
        self.chance = random.Random(3)
        self.in_flight = 0

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd calls it so
        recipient = envelope.rcpt_tos[0]
        self.taken[recipient] += 1
        self.ids.setdefault(recipient, set()).add(message_from_bytes(envelope.content)["Message-ID"])
        self.in_flight += 1
        try:
            await asyncio.sleep(self.chance.uniform(0, 0.2))
        finally:
            self.in_flight -= 1
        return "250 OK"


class Redis:
    """A broker of its own without a memory: what it held when it is killed is lost."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)]
        self.process = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
        until(self.answers, what="answer of Redis")

    def answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(timeout=10)


@pytest.fixture
def sink() -> Iterator[tuple[Sink, int]]:
    box = Sink()
    with smtp_server(box) as port:
        yield box, port


@dataclass
class Servers:
    """What the group stands on; None where there is no such server."""

    database: Cluster | None
    broker: Redis | None


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    if not settings.DATABASES["default"]["ENGINE"].endswith("postgresql"):
        yield Servers(None, None)
        return
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server")
    made = Servers(Cluster(), Redis(tmp_path))
    assert made.database is not None
    assert made.broker is not None
    try:
        made.database.start()
        made.broker.start()
        yield made
    finally:
        made.broker.kill()
        made.database.remove()


def strike(stack: Stack, kind: str, servers: Servers, chance: random.Random) -> None:
    """Kill one process of the kind, or a server, which is there again when this returns."""
    if kind == "broker" and servers.broker is not None:
        servers.broker.kill()
        servers.broker.start()
    elif kind == "broker":
        for message in (stack.folder / "data" / "broker").rglob("*.msg"):
            message.unlink(missing_ok=True)
    elif kind == "database" and servers.database is not None:
        servers.database.kill()
        servers.database.start()
    else:
        found = until(lambda: victims(stack, "beat" if kind == "database" else kind), what=kind)
        os.kill(chance.choice(found).pid, signal.SIGKILL)


@pytest.mark.parametrize("policy", ["hold", "resend"])
def test_sending__everything_killed_with_messages_in_the_air__ledger_accounts_for_every_one(
    tmp_path: Path, servers: Servers, sink: tuple[Sink, int], policy: str
) -> None:
    box, port = sink
    stack = Stack(folder=tmp_path, database_url="" if servers.database is None else servers.database.url)
    # A short lease, so that what a dead worker held is looked at within the test's time.
    stack.extra |= {"EMAIL_URL": f"smtp://127.0.0.1:{port}", "HOLDOUT_LEASE_SECONDS": "5"}
    if servers.broker is not None:
        stack.extra["REDIS_URL"] = f"redis://127.0.0.1:{servers.broker.port}/0"
    people = tmp_path / "people.csv"
    rows = "".join(f"person-{number}@example.org,yes,yes\n" for number in range(MESSAGES))
    people.write_text(f"email,consent_analytics,consent_marketing_email\n{rows}")
    try:
        stack.start()
        stack.manage("import_profiles", str(people))
        stack.run(MAKE.format(policy=policy))
        bombard(stack, servers, box)
        check(settled(stack), box, policy)
    finally:
        stack.stop()


def bombard(stack: Stack, servers: Servers, box: Sink) -> None:
    """Strike each time that a message is in the air."""
    chance = random.Random(1)
    for kind in PLAN:
        time.sleep(chance.uniform(0.5, 1.5))
        until(lambda: box.in_flight, what="message in the air", patience=PATIENCE, pause=0.001)
        strike(stack, kind, servers, chance)
        assert stack.process is not None
        assert stack.process.poll() is None, stack.log.read_text()[-3000:]


def settled(stack: Stack) -> dict[str, str]:
    """Return the state of every message, when each has come to an end."""

    def is_over() -> dict[str, str] | None:
        rows = dict(json.loads(stack.run(LEDGER)))
        return rows if set(rows.values()) <= {"sent", "uncertain"} and len(rows) == MESSAGES else None

    return until(is_over, what="end of the sending", patience=PATIENCE + MESSAGES / 10, pause=3.0)


def check(rows: dict[str, str], box: Sink, policy: str) -> None:
    """Compare the ledger with what the mail server got."""
    states, kills = Counter(rows.values()), len(PLAN)
    if policy == "hold":
        assert max(box.taken.values()) == 1, "somebody got the message twice"
        missed = {email for email in rows if email not in box.taken}
        assert missed <= {email for email, status in rows.items() if status == "uncertain"}
        assert states["uncertain"] <= kills * THREADS
    else:
        assert set(box.taken) == set(rows), "somebody was missed"
        assert states == {"sent": MESSAGES}
        assert all(len(ids) == 1 for ids in box.ids.values()), "a second copy has another Message-ID"
        assert sum(n - 1 for n in box.taken.values()) <= kills * THREADS
