"""How long rules take over many people: `python benchmarks/segments.py [--profiles 1000000 --events 20000000]`.

Generates people and events (log-normal activity, 8 kinds of events over 180 days) in the database that DATABASE_URL
names (an SQLite file in a temporary folder if it names none; it must be empty), then times the live count and a refresh
of the reference rule (two traits, twice bought within 30 days, not 1 view in 7 days) beside the same question in SQL
written by hand. Prints wall seconds, the median of five.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

NOW = datetime(2026, 11, 24, tzinfo=UTC)
DAYS = 180
DAY = 86_400_000_000
CHUNK = 50_000
EVENTS = ("Page Viewed",) * 6 + ("Product Viewed",) * 8 + ("Product Added",) * 3 + ("Products Searched",) * 2
RULE = {
    "schema": 1,
    "root": {
        "all": [
            {"trait": "country", "op": "eq", "value": "DE"},
            {"trait": "birth_year", "op": "gte", "value": 1986},
            {"trait": "birth_year", "op": "lte", "value": 2001},
            {"event": "Order Completed", "op": "gte", "n": 2, "days": 30},
            {"not": {"event": "Products Searched", "op": "gte", "n": 1, "days": 7}},
        ]
    },
}
BY_HAND = """
SELECT count(*) FROM marketing_profile p WHERE p.country = 'DE' AND p.birth_year BETWEEN 1986 AND 2001
AND p.id IN (SELECT profile_id FROM marketing_event WHERE type_id = {order} AND at >= {month}
             GROUP BY profile_id{plus} HAVING count(*) >= 2)
AND p.id NOT IN (SELECT profile_id FROM marketing_event WHERE type_id = {search} AND at >= {week})
"""


def fill(*, profiles: int, events: int, seed: int) -> dict[str, int]:
    """Write people and events in bulk; return the event types by name."""
    from django.db import connection, transaction

    from marketing.choices import SourceKind
    from marketing.models import Event, EventType, Identity
    from marketing.segmentation.clock import to_micros
    from marketing.services.allocation import insert_profiles
    from marketing.services.bulk import insert_new
    from marketing.services.ingestion import EVENT_COLUMNS
    from marketing.services.sources import ensure_source

    rng = random.Random(seed)
    source = ensure_source(name="benchmark", kind=SourceKind.SERVER, at=NOW)
    types = {name: EventType.objects.create(name=name).pk for name in (*dict.fromkeys(EVENTS), "Order Completed")}
    stamp = connection.ops.adapt_datetimefield_value(NOW)
    ids: list[int] = []
    for start in range(0, profiles, CHUNK):
        with transaction.atomic():
            ids += insert_profiles(count=min(CHUNK, profiles - start), is_demo=False, at=NOW)
            rows = [("user_id", f"u{pk}", pk, stamp) for pk in ids[start:]]
            columns = ("kind", "value", "profile_id", "created_at")
            insert_new(model=Identity, columns=columns, rows=rows, key="value")
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE marketing_profile SET birth_year = 1940 + (id * 7919) % 70, "
            "country = CASE (id * 104729) % 5 WHEN 0 THEN 'DE' WHEN 1 THEN 'FR' WHEN 2 THEN 'IT' ELSE 'US' END"
        )
    weights = [rng.lognormvariate(0, 1.3) for _ in ids]
    end = to_micros(NOW)
    for start in range(0, events, CHUNK):
        batch = []
        for number, pk in enumerate(rng.choices(ids, weights, k=min(CHUNK, events - start)), start=start):
            name = "Order Completed" if rng.random() < 0.06 else rng.choice(EVENTS)
            at = end - int(rng.random() * DAYS * DAY)
            batch.append((source.pk, f"m{number:012d}", pk, pk, types[name], at, None, None, "", "", "", "{}"))
        with transaction.atomic():
            insert_new(model=Event, columns=EVENT_COLUMNS, rows=batch, key="message_id")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return types


def seconds(work: Callable[[], Any]) -> float:
    """The median of five."""
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--profiles", type=int, default=1_000_000)
    parser.add_argument("--events", type=int, default=20_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("HOLDOUT_DATA_DIR", folder)
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
        import django

        django.setup()
        from django.core.management import call_command
        from django.db import connection

        from marketing.segmentation.clock import to_micros
        from marketing.selectors.segments import condition, count, rule_cursor
        from marketing.services.segments import create_segment, refresh_segment

        call_command("migrate", verbosity=0)
        begin = time.perf_counter()
        types = fill(profiles=options.profiles, events=options.events, seed=options.seed)
        print(
            f"{options.profiles:,} people, {options.events:,} events on {connection.vendor}: "
            f"written in {time.perf_counter() - begin:.0f} s"
        )
        now = to_micros(NOW)
        plus = "+0" if connection.vendor == "sqlite" else ""
        sql = BY_HAND.format(
            order=types["Order Completed"],
            search=types["Products Searched"],
            month=now - 30 * DAY,
            week=now - 7 * DAY,
            plus=plus,
        )

        def by_hand() -> int:
            with rule_cursor() as cursor:
                cursor.execute(sql)
                return int(cursor.fetchone()[0])

        def compiled() -> int:
            where = condition(rule=RULE, at=NOW)
            with rule_cursor() as cursor:
                cursor.execute(
                    f"SELECT count(*) FROM marketing_profile p WHERE p.merged_into_id IS NULL AND ({where.sql})",
                    where.params,
                )
                return int(cursor.fetchone()[0])

        found = compiled()
        assert found == by_hand(), (found, by_hand())
        hand, exact = seconds(by_hand), seconds(compiled)
        preview = seconds(lambda: count(rule=RULE, at=NOW, is_exact=False))
        segment = create_segment(name="Benchmark", rule=RULE, at=NOW)
        everybody = create_segment(name="Known", rule={"schema": 1, "root": {"all": []}}, at=NOW)
        first = seconds(lambda: refresh_segment(segment_id=segment.pk, at=NOW + timedelta(minutes=1)))
        begin = time.perf_counter()
        refresh_segment(segment_id=everybody.pk, at=NOW)
        fill_all = time.perf_counter() - begin
        print(
            f"{found:,} people; by hand {hand:.3f} s, compiled {exact:.3f} s ({exact / hand:.2f} ×), "
            f"live count {preview:.3f} s, refresh {first:.3f} s, first refresh of everybody {fill_all:.1f} s"
        )


if __name__ == "__main__":
    main()
