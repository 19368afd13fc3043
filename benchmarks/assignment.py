"""Assignment: units per CPU second in bulk, and one decision against the GrowthBook client in the same run.

    python benchmarks/assignment.py

It makes a database of its own in a temporary folder. Targets (CPU): `assign_many` from a list of 12-character ids
≥ 5 million units/s, of UUIDs ≥ 2.5 million; one `assign` ≥ 3 × as fast as the client's `run`, without a query.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

ROUNDS = 7
BULK = 1_000_000
SINGLES = 20_000


def best(action: Callable[[], object]) -> tuple[float, float]:
    """CPU seconds of the fastest round, and the median: the rest is what other processes took."""
    times = []
    for _ in range(ROUNDS):
        began = time.process_time()
        action()
        times.append(time.process_time() - began)
    return min(times), statistics.median(times)


def main() -> None:
    folder = tempfile.TemporaryDirectory(prefix="holdout-benchmark-")
    os.environ["HOLDOUT_DATA_DIR"] = folder.name
    os.environ.pop("DATABASE_URL", None)
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings_test"
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    call_command("migrate", verbosity=0)
    _measure_bulk(*_experiment())
    key, seed = _experiment()
    with CaptureQueriesContext(connection) as queries:
        ours = _measure_singles(key)
    theirs = _measure_client(key, seed)
    print(f"queries of {ROUNDS * SINGLES:,} single decisions: {len(queries)} (the cache asks once every 1.5 s)")
    print(f"ratio: {theirs / ours:.1f} × as fast as the client")
    folder.cleanup()


def _experiment() -> tuple[str, str]:
    from experiments.services.design import ArmSpec, Design, MetricSpec, create_experiment
    from experiments.services.lifecycle import start
    from experiments.services.metrics import ensure_builtin_metrics

    ensure_builtin_metrics()
    began = datetime.now(UTC) - timedelta(days=1)
    experiment = create_experiment(
        design=Design(
            key=f"benchmark-{uuid.uuid4()}",
            name="Benchmark",
            arms=(
                ArmSpec(key="control", name="Control", weight=0.5, is_control=True),
                ArmSpec(key="treatment", name="Treatment", weight=0.5),
            ),
            metrics=(MetricSpec(key="conversion", role="primary"),),
            planned_size=BULK,
        ),
        at=began,
    )
    start(experiment_key=experiment.key, at=began)
    return experiment.key, experiment.seed


def _measure_bulk(key: str, _seed: str) -> None:
    from experiments.services.assignment import assign_many

    now = datetime.now(UTC)
    for name, ids in (
        ("12 characters", [f"user{number:08d}" for number in range(BULK)]),
        ("UUIDs", [str(uuid.UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128)) for number in range(BULK)]),
        ("numbers of 1 to 7 digits", [str(number) for number in range(BULK)]),
        ("emoji among the ids", [f"user😀{number:06d}" for number in range(BULK // 10)]),
    ):

        def assign_all(ids: list[str] = ids) -> object:
            return assign_many(experiment_key=key, unit_type="profile", unit_ids=ids, attributes={}, at=now)

        assign_all()
        fastest, median = best(assign_all)
        print(
            f"assign_many, {name}: {len(ids) / fastest / 1e6:.1f} million units per CPU second "
            f"(median {len(ids) / median / 1e6:.1f})"
        )


def _measure_singles(key: str) -> float:
    from experiments.services.assignment import assign

    now = datetime.now(UTC)
    ids = [f"user{number:08d}" for number in range(SINGLES)]
    attributes = {"country": "DE"}
    assign(experiment_key=key, unit_type="profile", unit_id="warm", attributes=attributes, at=now)

    def assign_each() -> None:
        for unit_id in ids:
            assign(experiment_key=key, unit_type="profile", unit_id=unit_id, attributes=attributes, at=now)

    return _print_single("assign", best(assign_each))


def _measure_client(key: str, seed: str) -> float:
    import growthbook

    experiment = growthbook.Experiment(
        key=key, variations=["control", "treatment"], weights=[0.5, 0.5], hashAttribute="id", hashVersion=2, seed=seed
    )
    ids = [f"user{number:08d}" for number in range(SINGLES // 4)]
    client = growthbook.GrowthBook(attributes={"id": "warm"})

    def run_each() -> None:
        for unit_id in ids:
            client.set_attributes({"id": unit_id, "country": "DE"})
            client.run(experiment)

    fastest, median = best(run_each)
    return _print_single("gb.run", (fastest * 4, median * 4))


def _print_single(name: str, times: tuple[float, float]) -> float:
    fastest, median = (seconds / SINGLES * 1e6 for seconds in times)
    print(f"{name}: {fastest:.2f} µs CPU (median {median:.2f})")
    return median


if __name__ == "__main__":
    main()
