"""Workers, beat and the supervisor are killed while messages are being handed over: nobody twice, or nobody missed."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from email import message_from_bytes
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from tests.endtoend.stack import Stack, free_port, until
from tests.endtoend.test_intake_faults import victims

pytestmark = [pytest.mark.slow, pytest.mark.worker]
MESSAGES = int(os.environ.get("HOLDOUT_FAULT_MAILS", "1000"))
KILLS = 10
THREADS = 8

MAKE = """
from django.utils import timezone
from datetime import timedelta
from marketing.choices import IdentityKind, Purpose
from marketing.models import Profile, Sender
from marketing.segmentation.clock import to_micros
from marketing.services.campaigns import ArmDraft, CampaignDraft, create_campaign
from marketing.services.consent import Statement, record_consents
from marketing.services.lifecycle import launch
from marketing.services.profiles import create_profile
from marketing.services.reviews import switch_review
at = timezone.now() - timedelta(minutes=1)
statements = []
for number in range({n}):
    address = f"person-{{number}}@example.org"
    profile = create_profile(identities=[(IdentityKind.EMAIL, address)], traits={{"email": address}}, at=at)
    for purpose in (Purpose.ANALYTICS, Purpose.MARKETING_EMAIL):
        statements.append(Statement(profile.pk, purpose, True, "1", "yes", "test", to_micros(at)))
record_consents(statements=statements)
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

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd calls it so
        recipient = envelope.rcpt_tos[0]
        self.taken[recipient] += 1
        self.ids.setdefault(recipient, set()).add(message_from_bytes(envelope.content)["Message-ID"])
        await asyncio.sleep(self.chance.uniform(0, 0.2))
        return "250 OK"


@pytest.fixture
def sink() -> Iterator[tuple[Sink, int]]:
    box, port = Sink(), free_port()
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield box, port
    finally:
        controller.stop()


@pytest.mark.parametrize("policy", ["hold", "resend"])
def test_sending__processes_killed_ten_times__ledger_accounts_for_every_message(
    stack: Stack, sink: tuple[Sink, int], policy: str
) -> None:
    box, port = sink
    # A short lease, so that what a dead worker held is looked at within the test's time.
    stack.extra |= {"EMAIL_URL": f"smtp://127.0.0.1:{port}", "HOLDOUT_LEASE_SECONDS": "5"}
    stack.start()
    stack.run(MAKE.format(n=MESSAGES, policy=policy))
    chance = random.Random(1)
    until(lambda: len(box.taken) > 5, what="first messages", patience=240)
    kills = 0
    while kills < KILLS:
        time.sleep(chance.uniform(0.5, 1.5))
        # The supervisor gives up where a process keeps dying: five times is bad luck, more is broken.
        found = victims(stack, ("worker", "beat")[kills % 2])
        if found:
            os.kill(chance.choice(found).pid, signal.SIGKILL)
            kills += 1

    def ledger() -> dict[str, str]:
        return dict(json.loads(stack.run(LEDGER)))

    def is_over() -> dict[str, str] | None:
        assert stack.process is not None
        assert stack.process.poll() is None, stack.log.read_text()[-3000:]
        rows = ledger()
        return rows if set(rows.values()) <= {"sent", "uncertain"} and len(rows) == MESSAGES else None

    rows = until(is_over, what="end of the sending", patience=240)
    states = Counter(rows.values())
    if policy == "hold":
        assert max(box.taken.values()) == 1, "somebody got the message twice"
        missed = {email for email in rows if email not in box.taken}
        assert missed <= {email for email, status in rows.items() if status == "uncertain"}
        assert states["uncertain"] <= KILLS * THREADS
    else:
        assert set(box.taken) == set(rows), "somebody was missed"
        assert states == {"sent": MESSAGES}
        assert all(len(ids) == 1 for ids in box.ids.values()), "a second copy has another Message-ID"
        assert sum(n - 1 for n in box.taken.values()) <= KILLS * THREADS
