"""What a refresh costs when one day of ninety is new: stale units only, against the full computation.

    python benchmarks/analysis_refresh.py [--events 1000000] [--people 100000]

On Django's own database (SQLite unless DATABASE_URL says otherwise; it must be an empty one), with five metrics
and their covariates. CPU seconds of this process, which has refreshed the day before, and wall seconds; both
computations must give the same fingerprint.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Hashable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("HOLDOUT_DATA_DIR", tempfile.mkdtemp(prefix="holdout-benchmark-"))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django

django.setup()

from django.core.management import call_command  # noqa: E402 - Django first
from django.db import connection, transaction  # noqa: E402 - Django first

from benchmarks.analysis_facts import EVENT_TYPES, FIVE  # noqa: E402 - Django first
from experiments.facts.database import DatabaseFacts  # noqa: E402 - Django first
from experiments.facts.expressions import DAY  # noqa: E402 - Django first
from experiments.models import Arm, Experiment, Exposure, FactsState, Phase  # noqa: E402 - Django first
from experiments.ports import MICRO  # noqa: E402 - Django first
from experiments.services.dirty import mark_dirty  # noqa: E402 - Django first
from experiments.services.exposure import microseconds  # noqa: E402 - Django first
from experiments.services.state import update_totals  # noqa: E402 - Django first
from experiments.services.totals import UnitTotals, load_totals  # noqa: E402 - Django first

if TYPE_CHECKING:
    import ibis

TABLE = "benchmark_events"
START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 90
CHUNK = 50_000


class TableFacts(DatabaseFacts):
    """Events in a plain table of Django's database, with the two indexes of the record."""

    unit_type = "bigint"

    def exposures(self, *, experiment_key: str, units: ibis.Table | None = None) -> ibis.Table:
        rows = super().exposures(experiment_key=experiment_key, units=units)
        return rows.mutate(unit=rows.unit.cast("int64"))

    def shape(self, *, experiment_key: str, event_types: Sequence[str]) -> Hashable:
        return experiment_key, tuple(event_types)

    def population(self, *, at: int) -> ibis.Table:
        raise NotImplementedError("the benchmark surveys nobody")

    def events(
        self,
        *,
        event_types: Sequence[str],
        properties: Sequence[str],
        numbers: Sequence[str] = (),
        units: ibis.Table | None = None,
    ) -> ibis.Table:
        import ibis

        table = ibis.table({"unit": "int64", "type": "string", "at": "int64", "value": "int64"}, name=TABLE)
        found = table.filter(table.type.isin(event_types))
        return found if units is None else found.filter(found.unit.isin(units.unit))


def make_world(people: int, events: int, seed: int) -> Experiment:
    """An experiment that exposes people evenly over ninety days, and events evenly over 104."""
    rng = np.random.default_rng(seed)
    experiment = Experiment.objects.create(
        key="refresh", name="Refresh", status="running", created_at=START, started_at=START
    )
    phase = Phase.objects.create(experiment=experiment, number=1, coverage=1.0, targeting={}, started_at=START)
    arms = [
        Arm.objects.create(experiment=experiment, key=key, name=key, position=place, is_control=place == 0)
        for place, key in enumerate(("control", "treatment"))
    ]
    zero = microseconds(START)
    moments = zero + rng.integers(0, DAYS * DAY, people)
    sides = rng.integers(0, 2, people)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {TABLE} (unit bigint, type text, at bigint, value bigint)")
    for begin in range(0, people, CHUNK):
        rows = range(begin, min(begin + CHUNK, people))
        Exposure.objects.bulk_create(
            Exposure(
                experiment=experiment,
                phase=phase,
                arm=arms[sides[row]],
                unit_type="profile",
                unit_id=str(row),
                first_at=int(moments[row]),
            )
            for row in rows
        )
    for begin in range(0, events, CHUNK):
        n = min(CHUNK, events - begin)
        kinds = rng.choice(3, n, p=[0.1, 0.8, 0.1])
        units = rng.integers(0, people, n).tolist()
        at = (zero + rng.integers(-14 * DAY, DAYS * DAY, n)).tolist()
        value = np.where(kinds == 0, rng.integers(1, 200, n) * MICRO, 0).tolist()
        names = [EVENT_TYPES[kind] for kind in kinds]
        with transaction.atomic(), connection.cursor() as cursor:
            values = list(zip(units, names, at, value, strict=True))
            cursor.executemany(f"INSERT INTO {TABLE} VALUES (%s, %s, %s, %s)", values)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE INDEX {TABLE}_type ON {TABLE} (type, at, unit)")
        cursor.execute(f"CREATE INDEX {TABLE}_unit ON {TABLE} (unit, type, at)")
    return experiment


def mark_day(since: int, until: int) -> int:
    """Mark everybody with an event or an exposure on a day, as the intake does; return how many."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT DISTINCT unit FROM {TABLE} WHERE at >= %s AND at < %s", [since, until])
        units = {str(unit) for (unit,) in cursor.fetchall()}
    units |= set(Exposure.objects.filter(first_at__gte=since, first_at__lt=until).values_list("unit_id", flat=True))
    mark_dirty(units=units)
    return len(units)


def measure(run: Callable[..., UnitTotals], experiment: Experiment, at: datetime) -> tuple[float, float, str]:
    frame: dict[str, Any] = {"metrics": FIVE, "arms": ["control", "treatment"], "phases": [1]}
    cpu, wall = time.process_time(), time.perf_counter()
    totals = run(facts=TableFacts(), experiment=experiment, until=microseconds(at), **frame)
    return time.process_time() - cpu, time.perf_counter() - wall, totals.fingerprint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    call_command("migrate", verbosity=0)
    experiment = make_world(options.people, options.events, options.seed)
    before, yesterday, today = (START + timedelta(days=day) for day in (DAYS - 2, DAYS - 1, DAYS))
    measure(update_totals, experiment, before)
    mark_day(microseconds(before), microseconds(yesterday))
    measure(update_totals, experiment, yesterday)  # a process's first refresh compiles the statements of the later ones
    marked = mark_day(microseconds(yesterday), microseconds(today))
    refreshed = measure(update_totals, experiment, today)
    full = measure(load_totals, experiment, today)
    if refreshed[2] != full[2]:
        raise SystemExit("the refresh and the full computation disagree")
    again = FactsState.objects.get(experiment=experiment).recomputed_n
    print(
        f"{options.events:,} events, {options.people:,} people, {connection.vendor}; {marked:,} marked, {again:,} anew"
    )
    print("CPU / wall seconds")
    print(f"full     {full[0]:6.2f} / {full[1]:6.2f}")
    share = f"{refreshed[0] / full[0]:.0%} / {refreshed[1] / full[1]:.0%}"
    print(f"refresh  {refreshed[0]:6.2f} / {refreshed[1]:6.2f}   {share}")


if __name__ == "__main__":
    main()
