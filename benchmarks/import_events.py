"""How fast a CSV file of events comes in: `python benchmarks/import_events.py [--rows 200000] [--people 20000]`.

Runs on the database that DATABASE_URL names (an SQLite file in a temporary folder if it names none), which must be
empty of the rows; prints rows per second of wall clock and of CPU, and the peak memory of the process.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

EVENTS = ("Product Viewed",) * 16 + ("Product Added",) * 3 + ("Order Completed",)


def write_file(path: Path, *, rows: int, people: int, seed: int) -> None:
    """Write a shop's events: log-normal activity, 90 days, 300 items."""
    rng = random.Random(seed)
    users = [f"user-{number}" for number in range(people)]
    weights = [rng.lognormvariate(0, 1.3) for _ in users]
    chosen = rng.choices(users, weights, k=rows)
    with path.open("w") as out:
        out.write("user_id,event,timestamp,product_id,revenue,order_id,category\n")
        for number, user in enumerate(chosen):
            event = rng.choice(EVENTS)
            day, second = divmod(number * 90 * 86_400 // rows, 86_400)
            when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(1_780_000_000 + day * 86_400 + second))
            value = f"{rng.uniform(5, 90):.2f}" if event == "Order Completed" else ""
            order = f"o{number}" if value else ""
            out.write(f"{user},{event},{when},sku-{rng.randrange(300)},{value},{order},shoes\n")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--people", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("HOLDOUT_DATA_DIR", folder)
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
        import django

        django.setup()
        from django.core.management import call_command
        from django.utils import timezone

        from marketing.choices import ImportKind
        from marketing.services.imports import import_file
        from marketing.services.mapping import RowMapping

        call_command("migrate", verbosity=0)
        file = Path(folder) / "events.csv"
        write_file(file, rows=options.rows, people=options.people, seed=options.seed)
        wall, cpu = time.perf_counter(), time.process_time()
        summary = import_file(kind=ImportKind.EVENTS, path=file, mapping=RowMapping(), at=timezone.now())
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{summary.accepted:,} events in {wall:.1f} s: {summary.accepted / wall:,.0f}/s wall, "
            f"{summary.accepted / cpu:,.0f} per CPU second, peak {peak:.0f} MB"
        )


if __name__ == "__main__":
    main()
