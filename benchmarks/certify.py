"""The certificate at a million units: outcomes read once, a thousand seeds, two metrics with their covariates.

    python benchmarks/certify.py [--units 1000000] [--seeds 1000]

Prints seconds of wall and CPU time with the share of the hash, and the peak memory. The units lie in Parquet files.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("HOLDOUT_DATA_DIR", tempfile.mkdtemp(prefix="holdout-benchmark-"))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django

django.setup()

from django.core.management import call_command  # noqa: E402 - Django first

from experiments.bucketing.hashing import fnv1a32  # noqa: E402 - Django first
from experiments.bucketing.vectorized import PreparedUnits  # noqa: E402 - Django first
from experiments.facts.warehouse import remove_dataset, write_dataset  # noqa: E402 - Django first
from experiments.models import Experiment  # noqa: E402 - Django first
from experiments.selectors.certificates import decode_certificate  # noqa: E402 - Django first
from experiments.services.certificate import certify  # noqa: E402 - Django first
from experiments.services.design import ArmSpec, Design, MetricSpec, create_experiment  # noqa: E402 - Django first
from experiments.services.metrics import ensure_builtin_metrics  # noqa: E402 - Django first

NAME = "benchmark-certify"
AT = datetime(2026, 11, 1, tzinfo=UTC)


def write_past(units_n: int) -> None:
    """Everybody viewed something; three in a hundred ordered after it, ten in a hundred before."""
    rng = np.random.default_rng(1)
    now = int(AT.timestamp() * 1e6)
    seen = now - rng.integers(8 * 86_400, 35 * 86_400, units_n) * 1_000_000
    after, before = rng.random(units_n) < 0.03, rng.random(units_n) < 0.10
    units = np.arange(units_n)
    columns = [
        (units, "Product Viewed", seen, np.zeros(units_n, dtype=np.int64)),
        (units[after], "Order Completed", seen[after] + 3_600_000_000, _values(rng, int(after.sum()))),
        (units[before], "Order Completed", seen[before] - 86_400_000_000, _values(rng, int(before.sum()))),
    ]
    tables = [
        pa.table({"unit": unit, "type": pa.array([kind] * len(unit)), "at": at, "value": value})
        for unit, kind, at, value in columns
    ]
    nothing = pa.table(
        {
            "unit": pa.array([], pa.int64()),
            "arm": pa.array([], pa.string()),
            "phase": pa.array([], pa.int64()),
            "first_at": pa.array([], pa.int64()),
        }
    )
    remove_dataset(NAME)
    write_dataset(NAME, exposures=nothing, events=pa.concat_tables(tables))


def _values(rng: np.random.Generator, n: int) -> NDArray[np.int64]:
    return (rng.lognormal(3.5, 1.0, n) * 1e6).astype(np.int64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=1_000_000)
    parser.add_argument("--seeds", type=int, default=1_000)
    options = parser.parse_args()
    call_command("migrate", verbosity=0)
    ensure_builtin_metrics()
    write_past(options.units)
    design = Design(
        key=NAME,
        name="Benchmark",
        arms=(ArmSpec("control", "Control", 0.5, is_control=True), ArmSpec("treatment", "Treatment", 0.5)),
        metrics=(MetricSpec("conversion", "primary"), MetricSpec("revenue", "secondary")),
        planned_size=options.units,
        mde=0.05,
    )
    experiment = create_experiment(design=design, at=AT - timedelta(days=60))
    Experiment.objects.filter(pk=experiment.pk).update(
        facts="experiments.facts.warehouse.WarehouseFacts", facts_reference=NAME
    )
    ids = [str(unit) for unit in range(options.units)]
    units = PreparedUnits(ids)
    begin = time.process_time()
    for seed in range(3):
        units.bucket_numbers(seed_state=fnv1a32(str(seed)))
    hashing = (time.process_time() - begin) / 3 * options.seeds
    wall, cpu = time.monotonic(), time.process_time()
    report = decode_certificate(certify(experiment_key=NAME, at=AT, seeds=options.seeds).report)
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{report.units_n:,} units, {report.seeds_n:,} seeds: {wall:.1f} s wall, {cpu:.1f} s CPU")
    print(f"of which the hash alone {hashing:.1f} s CPU; peak memory {memory:.0f} MiB")
    for one in report.metrics:
        print(f"{one.metric}: {one.rate:.1%} false positives ({one.rate_lower:.1%} to {one.rate_upper:.1%})")
    print(f"sample ratio at 1 %: {report.srm_rate:.1%}")
    remove_dataset(NAME)


if __name__ == "__main__":
    main()
