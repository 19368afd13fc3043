"""Freezing an audience and sending: `python benchmarks/sending.py [--people 200000] [--mails 6000]`.

On the database of DATABASE_URL, which must be empty (SQLite in a new folder of its own without it). People with an
address and consent, a campaign with two letters that hold three recommended items each, and a silent control. The mail
server is a process of its own that answers at once. Targets: a million people frozen and assigned in 60 s on
PostgreSQL; 300 mails per second of one worker process with eight threads; memory flat.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import logging
import multiprocessing
import os
import pstats
import resource
import sys
import tempfile
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from datetime import datetime

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

ITEMS = 200
AT_ONCE = 50_000


class Sink(asyncio.Protocol):
    """The least that SMTP asks of a server: it takes everything and keeps nothing."""

    def connection_made(self, transport: Any) -> None:
        self.transport, self.rest, self.in_data = transport, b"", False
        transport.write(b"220 sink\r\n")

    def data_received(self, data: bytes) -> None:
        self.rest += data
        while True:
            if self.in_data:
                _mail, end, rest = self.rest.partition(b"\r\n.\r\n")
                if not end:
                    return
                self.rest, self.in_data = rest, False
                self.transport.write(b"250 OK\r\n")
                continue
            line, end, rest = self.rest.partition(b"\r\n")
            if not end:
                return
            self.rest = rest
            verb = line[:4].upper()
            self.in_data = verb == b"DATA"
            self.transport.write(
                b"354 go\r\n" if self.in_data else b"221 bye\r\n" if verb == b"QUIT" else b"250 OK\r\n"
            )


def serve(port: multiprocessing.Queue[int]) -> None:
    """Run the sink until the parent ends."""

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
        port.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


def make_people(count: int, at: datetime) -> None:
    """People with an address and every consent, in bulk."""
    from django.db import connection, transaction

    from marketing.models import Consent, Profile
    from marketing.services.allocation import insert_profiles

    for start in range(0, count, AT_ONCE):
        with transaction.atomic():
            insert_profiles(count=min(AT_ONCE, count - start), is_demo=False, at=at)
    Profile.objects.update(marketing_ok=True, language="en", country="DE", timezone="Europe/Berlin")
    stamp = int(at.timestamp() * 1_000_000)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE marketing_profile SET email = 'person-' || id || '@example.org'")
        for purpose in ("analytics", "personalization", "marketing_email"):
            cursor.execute(
                f"INSERT INTO {Consent._meta.db_table} (profile_id, purpose, channel, granted, lawful_basis, "
                "text_version, text_sha256, source, at, evidence) "
                "SELECT id, %s, '', %s, 'consent', '1', '', 'bench', %s, '{}' FROM marketing_profile",
                [purpose, True, stamp],
            )
        if connection.vendor == "postgresql":
            cursor.execute("ANALYZE")


def make_campaign(slug: str, at: datetime) -> int:
    """Launch a campaign with two letters and a silent control."""
    from marketing.models import Sender
    from marketing.services.campaigns import ArmDraft, CampaignDraft, create_campaign
    from marketing.services.lifecycle import launch

    sender, _ = Sender.objects.get_or_create(
        email="news@shop.example", defaults={"name": "Shop", "postal_address": "1 High Street"}
    )

    def letter(key: str) -> ArmDraft:
        return ArmDraft(
            key=key,
            name=key,
            percent=45,
            subject="Hello {{ person.country }}",
            headline=f"Picked for you ({key})",
            body="<p>Dear <b>{{ person.first_name | default: 'friend' }}</b>, look at this.</p>",
            button_text="Look",
            link="/shop/",
            strategy="popularity",
            item_count=3,
        )

    draft = CampaignDraft(
        slug=slug,
        name=slug,
        goal_metric="conversion",
        consent_purposes=("analytics", "personalization"),
        mde=0.3,
        people_per_day=100_000,
        kind="email",
        sender_id=sender.pk,
        window_from=0,
        window_until=24,
        arms=(ArmDraft(key="control", name="Nothing", percent=10, is_control=True), letter("one"), letter("two")),
    )
    return launch(campaign_id=create_campaign(draft=draft, at=at).pk, at=at).pk


def megabytes() -> float:
    """Memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1_048_576


def server_cpu() -> float:
    """CPU seconds so far of the server process behind this connection; 0 without a server on this machine."""
    from django.db import connection

    if connection.vendor != "postgresql":
        return 0.0
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        stat = Path(f"/proc/{cursor.fetchone()[0]}/stat")
    fields = stat.read_text().rpartition(")")[2].split() if stat.exists() else ["0"] * 13
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Watch:
    """Wall seconds and CPU seconds of a block, here and in the database's server."""

    def __enter__(self) -> Self:
        self.wall, self.cpu, self.server = time.perf_counter(), time.process_time(), server_cpu()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall, self.cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
        self.server = server_cpu() - self.server


def measure_freeze(campaign_id: int, at: datetime) -> None:
    from marketing.services.sending import audience

    before = megabytes()
    with Watch() as watch:
        frozen = audience.freeze(campaign_id=campaign_id, at=at) or 0
    print(
        f"freeze: {frozen:,} people in {watch.wall:.1f} s wall, {watch.cpu:.1f} s CPU here, "
        f"{watch.server:.1f} s in the database ({frozen / watch.wall:,.0f} a second); "
        f"memory {before:.0f} -> {megabytes():.0f} MB"
    )


def measure_sending(campaign_id: int, mails: int, profiler: cProfile.Profile | None) -> None:
    from django.utils import timezone

    from marketing.models import Delivery
    from marketing.services.sending import dispatch, handover

    memory: list[float] = []
    counted: dict[str, int] = {}
    with Watch() as watch:
        if profiler:
            profiler.enable()
        while counted.get("sent", 0) < mails:
            # Short runs, as the scheduled task makes them; connections are opened anew in each.
            for what, n in dispatch.send_due(clock=timezone.now, seconds=5).outcomes.items():
                counted[what] = counted.get(what, 0) + n
            memory.append(megabytes())
        if profiler:
            profiler.disable()
    sent = counted["sent"]
    print(
        f"sending: {sent:,} mails ({counted}) in {watch.wall:.1f} s wall, {watch.cpu:.1f} s CPU here, "
        f"{watch.server:.1f} s in the database: "
        f"{sent / watch.wall:,.0f} a second, {sent / watch.cpu:,.0f} per CPU second; "
        f"memory {memory[0]:.0f} -> {memory[-1]:.0f} MB; {threading.active_count()} threads left, "
        f"{handover.THREADS} sending"
    )
    print(f"rows: {Delivery.objects.filter(campaign_id=campaign_id, status='sent').count():,} sent")
    if profiler:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(45)
        pstats.Stats(profiler).sort_stats("cumulative").print_stats(60)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=200_000)
    parser.add_argument("--mails", type=int, default=6_000)
    parser.add_argument("--profile", action="store_true", help="what the sending spends its time on")
    options = parser.parse_args()
    ports: multiprocessing.Queue[int] = multiprocessing.Queue()
    sink = multiprocessing.Process(target=serve, args=(ports,), daemon=True)
    sink.start()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.environ.setdefault("HOLDOUT_DATA_DIR", tempfile.mkdtemp(prefix="holdout-sending-"))
    os.environ["EMAIL_URL"] = f"smtp://127.0.0.1:{ports.get()}"
    import django

    django.setup()
    logging.disable(logging.INFO)
    from django.core.management import call_command
    from django.utils import timezone

    from marketing.models import Profile
    from marketing.services.reviews import switch_review
    from marketing.services.setup import prepare
    from recommender.services.catalogue import ItemRow, upsert_items

    call_command("migrate", verbosity=0)
    at = timezone.now() - timedelta(minutes=5)
    prepare(at=at)
    switch_review(is_on=False, reason="A benchmark.", at=at)
    rows = [
        ItemRow(item_id=f"sku-{number}", title=f"Thing {number}", category="Things", price=12_500_000, currency="EUR")
        for number in range(ITEMS)
    ]
    upsert_items(items=rows, at=at)
    if not Profile.objects.exists():
        with Watch() as watch:
            make_people(options.people, at)
        print(f"{options.people:,} people made in {watch.wall:.0f} s")
    campaign_id = make_campaign(f"bench-{int(at.timestamp())}", at)
    measure_freeze(campaign_id, at)
    measure_sending(campaign_id, options.mails, cProfile.Profile() if options.profile else None)


if __name__ == "__main__":
    main()
