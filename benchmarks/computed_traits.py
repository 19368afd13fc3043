"""How long the computed traits take: `python benchmarks/computed_traits.py [--profiles 1000000 --per-profile 20]`.

Generates people and events as `segments.py` does (log-normal activity, 8 kinds over 180 days), with items, order values
and activity summaries, in the database that DATABASE_URL names (an SQLite file in a temporary folder if it names none;
it must be empty). Then counts everybody, lets a day pass with its share of new events, and counts who changed. Prints
CPU seconds of this process (and of PostgreSQL's backend where it can be read), wall seconds and the peak of memory.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.segments import CHUNK, DAY, DAYS, EVENTS, NOW

ITEMS = 5_000
CATEGORIES = 40
BRANDS = 120
ORDER = "Order Completed"


def fill(*, profiles: int, events: int, seed: int) -> tuple[dict[str, int], list[int], list[float]]:
    """Write catalogue, people and events in bulk; return the event types, the people and how active they are."""
    from django.core.management import call_command
    from django.db import connection, transaction

    from marketing.models import EventType
    from marketing.services.allocation import insert_profiles
    from recommender.models import Item

    call_command("migrate", verbosity=0)
    rng = random.Random(seed)
    for start in range(0, ITEMS, 1_000):
        Item.objects.bulk_create(
            Item(
                item_id=f"i{n}",
                title=f"Item {n}",
                category=f"Category {n % CATEGORIES}",
                brand=f"Brand {n % BRANDS}",
                created_at=NOW,
                updated_at=NOW,
            )
            for n in range(start, start + 1_000)
        )
    types = {name: EventType.objects.create(name=name).pk for name in (*dict.fromkeys(EVENTS), ORDER)}
    ids: list[int] = []
    for start in range(0, profiles, CHUNK):
        with transaction.atomic():
            ids += insert_profiles(count=min(CHUNK, profiles - start), is_demo=False, at=NOW)
    weights = [rng.lognormvariate(0, 1.3) for _ in ids]
    write(rng=rng, types=types, ids=ids, weights=weights, first=0, events=events, days=(0.0, float(DAYS)))
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO marketing_activity (profile_id, type_id, n, first_at, last_at, total) "
            "SELECT profile_id, type_id, count(*), min(at), max(at), COALESCE(sum(value), 0) "
            "FROM marketing_event GROUP BY profile_id, type_id"
        )
        cursor.execute("ANALYZE")
    return types, ids, weights


def write(
    *,
    rng: random.Random,
    types: dict[str, int],
    ids: list[int],
    weights: list[float],
    first: int,
    events: int,
    days: tuple[float, float],
    has_summaries: bool = False,
) -> None:
    """Write events that happened between so many days before NOW; `has_summaries` keeps summaries and news, too."""
    from django.db import transaction

    from marketing.choices import SourceKind
    from marketing.models import Event
    from marketing.segmentation.clock import to_micros
    from marketing.services.bulk import insert_new
    from marketing.services.ingestion import EVENT_COLUMNS
    from marketing.services.sources import ensure_source
    from marketing.services.summaries import add_facts

    source = ensure_source(name="benchmark", kind=SourceKind.SERVER, at=NOW)
    end = to_micros(NOW)
    for start in range(0, events, CHUNK):
        batch: list[tuple[Any, ...]] = []
        people = rng.choices(ids, weights, k=min(CHUNK, events - start))
        for number, pk in enumerate(people, start=first + start):
            name = ORDER if rng.random() < 0.06 else rng.choice(EVENTS)
            at = end - int(rng.uniform(*days) * DAY)
            item = None if name in ("Page Viewed", "Products Searched") else f"i{int(ITEMS * rng.random() ** 2)}"
            value = int(1e6 * rng.uniform(5, 120)) if name == ORDER else None
            batch.append((source.pk, f"m{number:012d}", pk, pk, types[name], at, item, value, "", "", "", "{}"))
        with transaction.atomic():
            insert_new(model=Event, columns=EVENT_COLUMNS, rows=batch, key="message_id")
            if has_summaries:
                add_facts(
                    facts=[(row[3], row[4], row[5], row[7]) for row in batch], order_type=types[ORDER], refund_type=None
                )


def measured(name: str, work: Callable[[], Any]) -> None:
    """Do the work once; print what it took."""
    begin, cpu, server = time.perf_counter(), time.process_time(), backend_seconds()
    outcome = work()
    text = f"{name}: {outcome.people:,} people recounted, {outcome.changed:,} values changed; "
    text += f"{time.process_time() - cpu:.1f} CPU s here"
    if server is not None:
        text += f", {(backend_seconds() or 0) - server:.1f} in PostgreSQL"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{text}, {time.perf_counter() - begin:.1f} s wall, peak {peak:.0f} MiB", flush=True)


def backend_seconds() -> float | None:
    """CPU seconds of the server process that answers us; None if it is not on this machine."""
    from django.db import connection

    if connection.vendor != "postgresql":
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        path = Path(f"/proc/{cursor.fetchone()[0]}/stat")
    if not path.exists():
        return None
    fields = path.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--profiles", type=int, default=1_000_000)
    parser.add_argument("--per-profile", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    events = options.profiles * options.per_profile
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("HOLDOUT_DATA_DIR", folder)
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
        import django

        django.setup()
        from django.db import connection

        from marketing.services.portrait.definitions import ensure_builtin_traits
        from marketing.services.portrait.run import compute_traits

        begin = time.perf_counter()
        types, ids, weights = fill(profiles=options.profiles, events=events, seed=options.seed)
        ensure_builtin_traits()
        print(
            f"{options.profiles:,} people, {events:,} events on {connection.vendor}: "
            f"written in {time.perf_counter() - begin:.0f} s",
            flush=True,
        )
        measured("everybody, first time", lambda: compute_traits(clock=lambda: NOW))
        write(
            rng=random.Random(options.seed + 1),
            types=types,
            ids=ids,
            weights=weights,
            first=events,
            events=events // DAYS,
            days=(-1.0, 0.0),
            has_summaries=True,
        )
        measured("who changed, a day later", lambda: compute_traits(clock=lambda: NOW + timedelta(days=1)))
        measured(
            "everybody, nothing changed", lambda: compute_traits(clock=lambda: NOW + timedelta(days=1), is_full=True)
        )


if __name__ == "__main__":
    main()
