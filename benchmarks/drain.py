"""From the spool into the database: `python benchmarks/drain.py [rows]`.

SQLite, or a database of its own on the PostgreSQL server of DATABASE_URL.

*bare* decodes the lines and stores the events with their ids resolved beforehand: what reading, decoding and
deduplicating cost. *whole* is the drain as it runs: identities, activity, exposures, the offset in the transaction.
Targets: bare ≥ 40,000 rows/s into PostgreSQL, ≥ 35,000 rows per CPU second into SQLite; whole ≥ 0.6 × bare in CPU.
`--memory` drains the same thing ten times over and prints the peak after each: it must stay where it was.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import psutil

from benchmarks.load import environment, manage, own_database

PER_LINE = 100
PEOPLE = 20_000
PER_VISIT = 5  # messages that one person sends in a row
SET_UP = """
from datetime import timedelta
from django.utils import timezone
from experiments.services.design import ArmSpec, Design, MetricSpec, create_experiment
from experiments.services.lifecycle import start
from marketing.choices import SourceKind
from marketing.services.setup import prepare
from marketing.services.sources import ensure_source
at = timezone.now() - timedelta(days=1)
prepare(at=at)
arms = (ArmSpec("control", "Control", 0.5, is_control=True), ArmSpec("treatment", "Treatment", 0.5))
more = {"arms": arms, "metrics": (MetricSpec(key="conversion", role="primary"),), "planned_size": 100}
create_experiment(design=Design(key="flag", name="flag", unit_type="user_id", **more), at=at)
start(experiment_key="flag", at=at)
print(ensure_source(name="load", kind=SourceKind.SERVER, at=at).pk)
"""


def fill(folder: Path, *, source: int, rows: int, label: str) -> None:
    """Write a segment as collect does: lines of 100 messages, one in twenty an exposure."""
    import orjson

    from marketing.wire.collect import spool_line

    with (folder / f"{label}.spool").open("wb") as stream:
        for first in range(0, rows, PER_LINE):
            batch = [_message(f"{label}-{number}", number) for number in range(first, first + PER_LINE)]
            stream.write(spool_line(source=source, kind="", body=orjson.dumps({"batch": batch})))


def _message(message_id: str, number: int) -> dict[str, object]:
    visit = number // PER_VISIT * 7919 % PEOPLE
    person = f"user-{visit}"
    known = {"type": "track", "messageId": message_id, "userId": person}
    if number % 20 == 0:
        arm = "treatment" if visit % 2 else "control"
        return known | {"event": "Experiment Viewed", "properties": {"experiment_id": "flag", "variation_id": arm}}
    return known | {"event": "Product Viewed", "properties": {"product_id": f"sku-{number % 500}", "page": "/p"}}


def measured(label: str, rows: int, work: Callable[[], None]) -> float:
    """Run and print rows a second and per CPU second of this process and PostgreSQL's; return the latter."""
    from django.db import connection

    server = psutil.Process(_backend()) if connection.vendor == "postgresql" else None
    wall, cpu = time.perf_counter(), time.process_time() + _cpu(server)
    work()
    wall, cpu = time.perf_counter() - wall, time.process_time() + _cpu(server) - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{label:8s} {rows / wall:9,.0f} rows/s  {rows / cpu:9,.0f} rows per CPU second  peak {peak:4.0f} MB",
        flush=True,
    )
    return rows / cpu


def _backend() -> int:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def _cpu(process: psutil.Process | None) -> float:
    if process is None:
        return 0.0
    times = process.cpu_times()
    return float(times.user + times.system)


def store_bare(folder: Path, label: str, *, source: int) -> None:
    """Decode, look the person's ids up in memory, insert; 4 MiB a transaction, as the drain does."""
    import orjson
    from django.db import connection, transaction

    from marketing.models import Event, EventType
    from marketing.services.bulk import insert_new
    from marketing.services.drain import CHUNK_BYTES
    from marketing.services.ingestion import EVENT_COLUMNS
    from marketing.spooling import reader

    with connection.cursor() as cursor:
        cursor.execute("SELECT value, id, profile_id FROM marketing_identity WHERE kind = 'user_id'")
        people = {value: (identity, profile) for value, identity, profile in cursor.fetchall()}
    types = dict(EventType.objects.values_list("name", "pk"))
    path, offset = folder / f"{label}.spool", 0
    while (chunk := reader.read(path, offset=offset, most_bytes=CHUNK_BYTES)).lines:
        rows = []
        for line in chunk.lines:
            envelope = orjson.loads(line)
            for message in envelope["body"]["batch"]:
                props = message["properties"]
                row = (source, message["messageId"], *people[message["userId"]], types[message["event"]])
                item = props.pop("product_id", None)
                rows.append((*row, envelope["at"], item, None, "", "", "", orjson.dumps(props).decode()))
        with transaction.atomic():
            insert_new(model=Event, columns=EVENT_COLUMNS, rows=rows, key="message_id")
        offset = chunk.end


def run(rows: int, *, rounds: int) -> None:
    import django

    django.setup()
    from django.conf import settings
    from django.utils import timezone

    from marketing.models import Source
    from marketing.services.drain import drain

    folder = Path(settings.DATA_DIR) / "spool"
    source = Source.objects.get(name="load").pk

    def drained() -> None:
        drain(at=timezone.now())

    fill(folder, source=source, rows=PEOPLE * PER_VISIT, label="0-people")
    drained()
    if rounds:
        for number in range(rounds):
            fill(folder, source=source, rows=rows, label=f"m{number}")
            measured(f"whole {number}", rows, drained)
        return
    shares = []
    for number in range(3):
        fill(folder, source=source, rows=rows, label=f"b{number}")
        bare = measured("bare", rows, lambda label=f"b{number}": store_bare(folder, label, source=source))  # type: ignore[misc]  # a lambda with a default
        (folder / f"b{number}.spool").unlink()
        fill(folder, source=source, rows=rows, label=f"w{number}")
        shares.append(measured("whole", rows, drained) / bare)
    print(f"whole / bare by CPU: {sorted(shares)[1]:.2f} (median of {len(shares)})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="?", type=int, default=100_000)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        run(options.rows, rounds=10 if options.memory else 0)
        return
    server = os.environ.get("DATABASE_URL", "")
    with tempfile.TemporaryDirectory(prefix="holdout-benchmark-") as name, own_database(server) as url:
        variables = environment(Path(name), url)
        manage(variables, "migrate", "-v", "0")
        manage(variables, "shell", "--no-imports", "-v", "0", "-c", SET_UP)
        more = ["--memory"] if options.memory else []
        command = [sys.executable, __file__, str(options.rows), "--inside", *more]
        subprocess.run(command, env=variables, check=True)


if __name__ == "__main__":
    main()
