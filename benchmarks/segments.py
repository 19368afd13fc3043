"""How long rules take over many people: `python benchmarks/segments.py [--profiles 1000000 --events 20000000]`.

Generates people, events (log-normal activity, 8 kinds of events over 180 days) and one campaign's messages in the
database that DATABASE_URL names (an SQLite file in a temporary folder if it names none; it must be empty), and measures

- the reference rule (two traits, bought at least twice in 30 days, not sent the campaign) beside the best SQL written
  by hand for it, as a set and correlated; for one person in twenty, and for one in a hundred;
- the live count of that rule and of one that reads very many events;
- fifty mixed segments: refreshed for everybody, and for few and many people with news.

Prints CPU seconds, of this process and of the server's process that works for it (on PostgreSQL of the same machine),
the median of five; the machine may be busy.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

NOW = datetime(2026, 11, 24, tzinfo=UTC)
DAYS = 180
DAY = 86_400_000_000
CHUNK = 50_000
EVENTS = ("Page Viewed",) * 6 + ("Product Viewed",) * 8 + ("Product Added",) * 3 + ("Products Searched",) * 2
CAMPAIGN = "spring"
BORN = {"one person in twenty": (1986, 2001), "one in a hundred": (1990, 1993)}
BOUGHT_TWICE = {"event": "Order Completed", "op": "gte", "n": 2, "days": 30}
HEAVY = {"schema": 1, "root": {"event": "Product Viewed", "op": "gte", "n": 10, "days": 90}}
BY_HAND = {
    "as a set": """
SELECT count(*) FROM marketing_profile p WHERE p.country = 'DE' AND p.birth_year BETWEEN {first} AND {last}
AND p.id IN (SELECT profile_id FROM marketing_event WHERE type_id = {order} AND at >= {month}
             GROUP BY profile_id{plus} HAVING count(*) >= 2)
AND p.id NOT IN (SELECT profile_id FROM marketing_delivery WHERE campaign_id = {campaign} AND status = 'sent')
""",
    "correlated": """
SELECT count(*) FROM marketing_profile p WHERE p.country = 'DE' AND p.birth_year BETWEEN {first} AND {last}
AND (SELECT count(*) FROM marketing_event e WHERE e.profile_id = p.id AND e.type_id = {order} AND e.at >= {month}) >= 2
AND NOT EXISTS (SELECT 1 FROM marketing_delivery d
                WHERE d.campaign_id = {campaign} AND d.profile_id = p.id AND d.status = 'sent')
""",
}


def reference(first: int, last: int) -> dict[str, Any]:
    """The reference rule for those born in these years."""
    traits: list[dict[str, Any]] = [
        {"trait": "country", "op": "eq", "value": "DE"},
        {"trait": "birth_year", "op": "gte", "value": first},
        {"trait": "birth_year", "op": "lte", "value": last},
    ]
    return {"schema": 1, "root": {"all": [*traits, BOUGHT_TWICE, {"not": {"sent": CAMPAIGN}}]}}


def mixed(number: int) -> dict[str, Any]:
    """One of fifty rules: traits, windows, sums, the whole past, last times, messages, other segments, samples."""
    days, least = (7, 14, 30, 60, 90)[number // 10], 1 + number % 3
    country = {"trait": "country", "op": "eq", "value": ("DE", "FR", "IT", "US")[number % 4]}
    kinds: list[dict[str, Any]] = [
        {"event": "Order Completed", "op": "gte", "n": least, "days": days},
        {"not": {"event": "Products Searched", "op": "gte", "n": 1, "days": days}},
        {"event": "Order Completed", "op": "gte", "n": 50 * least, "days": days, "measure": "sum"},
        {"event": "Product Added", "op": "gte", "n": least, "days": days},
        {"last": "Order Completed", "op": "not_within_days", "value": days},
        {"event": "Order Completed", "op": "gte", "n": 3 * least},
        {"trait": "birth_year", "op": "gte", "value": 1950 + number},
        {"not": {"sent": CAMPAIGN}},
        {"sample": {"salt": f"s{number}", "percent": days / 2}},
        {"trait": "last_seen_at", "op": "within_days", "value": days},
    ]
    root = {"all": [country, kinds[number % 10], kinds[(number + 3) % 10]]}
    if number % 10 == 9:
        root["all"].append({"not": {"in_segment": f"mixed-{number - 9}"}})
    return {"schema": 1, "root": root}


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
            value = rng.randrange(5, 200) * 1_000_000 if name == "Order Completed" else None
            batch.append((source.pk, f"m{number:012d}", pk, pk, types[name], at, None, value, "", "", "", "{}"))
        with transaction.atomic():
            insert_new(model=Event, columns=EVENT_COLUMNS, rows=batch, key="message_id")
    return {**types, CAMPAIGN: fill_messages(ids, rng)}


def fill_messages(ids: list[int], rng: random.Random) -> int:
    """Send the campaign to a third, and bring the summaries up to date; return the campaign's key."""
    from django.db import connection, transaction

    from marketing.choices import DeliveryStatus
    from marketing.models import Campaign, ChangedProfile, Delivery
    from marketing.services.bulk import insert_new

    stamp = connection.ops.adapt_datetimefield_value(NOW)
    campaign = Campaign.objects.create(slug=CAMPAIGN, name=CAMPAIGN, created_at=NOW)
    names = ("campaign_id", "step", "occurrence", "profile_id", "arm_key", "status", "status_at", "send_at", "claim")
    fields = (*names, "attempts", "reason")
    for start in range(0, len(ids), CHUNK):
        sent = [pk for pk in ids[start : start + CHUNK] if rng.random() < 0.3]
        messages = [(campaign.pk, 0, "", pk, "a", DeliveryStatus.SENT.value, stamp, stamp, "", 1, "") for pk in sent]
        with transaction.atomic():
            insert_new(model=Delivery, columns=fields, rows=messages, key="profile_id")
    ChangedProfile.objects.all().delete()
    with connection.cursor() as cursor:
        # What the ingestion keeps up beside the events.
        cursor.execute(
            "INSERT INTO marketing_activity (profile_id, type_id, n, first_at, last_at, total) "
            "SELECT profile_id, type_id, count(*), min(at), max(at), COALESCE(sum(value), 0) "
            "FROM marketing_event GROUP BY profile_id, type_id"
        )
        cursor.execute(
            "UPDATE marketing_profile SET last_seen_at = (SELECT max(last_at) FROM marketing_activity a "
            "WHERE a.profile_id = marketing_profile.id)"
        )
        cursor.execute("ANALYZE")
    return campaign.pk


def cpu() -> float:
    """CPU seconds so far of this process and, on PostgreSQL, of the server's process behind its connection."""
    from django.db import connection

    used = time.process_time()
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            stat = Path(f"/proc/{cursor.fetchone()[0]}/stat").read_text().rpartition(")")[2].split()
        used += (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
    return used


def once(work: Callable[[], Any]) -> float:
    begin = cpu()
    work()
    return cpu() - begin


def seconds(work: Callable[[], Any], times: int = 5) -> float:
    """The median of a few."""
    return statistics.median(once(work) for _ in range(times))


def measure_rules(types: dict[str, int]) -> None:
    """The reference rule beside SQL by hand, and live counts."""
    from django.db import connection

    from marketing.segmentation.clock import to_micros
    from marketing.selectors.segments import count, rule_cursor, rule_people

    def run(sql: str, params: tuple[Any, ...] | None = None) -> int:
        with rule_cursor() as cursor:
            cursor.execute(sql, params)
            return int(cursor.fetchone()[0])

    def compiled(rule: dict[str, Any]) -> int:
        people = rule_people(rule=rule, at=NOW)
        return run(f"SELECT count(*) FROM {people.sql}", people.params)

    plus = "+0" if connection.vendor == "sqlite" else ""
    given = {"order": types["Order Completed"], "campaign": types[CAMPAIGN], "plus": plus}
    month = to_micros(NOW) - 30 * DAY
    for who, (first, last) in BORN.items():
        rule = reference(first, last)
        hand = {n: sql.format(month=month, first=first, last=last, **given) for n, sql in BY_HAND.items()}
        found = compiled(rule)
        for name, sql in hand.items():
            assert run(sql) == found, (name, run(sql), found)
        times = {name: seconds(partial(run, sql)) for name, sql in hand.items()}
        exact = seconds(partial(compiled, rule))
        print(
            f"reference rule, {who}, {found:,} people: compiled {exact:.3f} s; by hand "
            + ", ".join(f"{name} {one:.3f} s ({exact / one:.2f} ×)" for name, one in times.items())
        )
    for name, rule in (("reference", reference(*BORN["one person in twenty"])), ("10 views in 90 days", HEAVY)):
        everybody, sample = count(rule=rule, at=NOW), count(rule=rule, at=NOW, is_exact=False)
        live = seconds(partial(count, rule=rule, at=NOW, is_exact=False))
        print(f"live count, {name}: {live:.3f} s, {sample.people:,} ± {sample.margin:,} of truly {everybody.people:,}")


def measure_refreshes(profiles: int) -> None:
    """Fifty segments, for everybody and for those who changed."""
    from marketing.models import Membership, Segment
    from marketing.selectors.segments import matching_ids
    from marketing.services.changes import mark_changed
    from marketing.services.membership import refresh_changes, refresh_segment
    from marketing.services.segments import create_segment

    made = [create_segment(slug=f"mixed-{n}", name=f"Mixed {n}", rule=mixed(n), at=NOW) for n in range(50)]
    at = NOW
    first = once(lambda: refresh_changes(at=at))

    def all_over() -> None:
        for segment in made:
            refresh_segment(segment_id=segment.pk, at=at)

    again = once(all_over)
    members = Membership.objects.count()
    print(f"50 segments, {members:,} members: first refresh {first:.1f} s, again for everybody {again:.1f} s")
    rng = random.Random(2)
    for changed in (0, 100, 1_000, 10_000):
        if changed > profiles // 10:
            break
        at += timedelta(minutes=1)
        mark_changed(profile_ids=rng.sample(range(1, profiles + 1), changed))
        spent = once(partial(refresh_changes, at=at))
        print(f"50 segments, {changed:,} people with news and a minute of the clock: {spent:.2f} s")
    for segment in Segment.objects.select_related("version"):
        assert segment.version is not None
        stored = set(Membership.objects.filter(segment=segment).values_list("profile_id", flat=True))
        assert stored == set(matching_ids(rule=segment.version.rule, at=at)), segment.slug


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

        call_command("migrate", verbosity=0)
        begin = time.perf_counter()
        types = fill(profiles=options.profiles, events=options.events, seed=options.seed)
        print(
            f"{options.profiles:,} people, {options.events:,} events on {connection.vendor}: "
            f"written in {time.perf_counter() - begin:.0f} s",
            flush=True,
        )
        measure_rules(types)
        measure_refreshes(options.profiles)
        print(f"at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
