"""Seeding the demo world into SQLite: how long, how much memory, and how long another writer has to wait meanwhile.

    python benchmarks/seed_demo.py [--profiles 5000]

It makes a database of its own in a temporary folder. Targets: ≤ 60 s for 5,000 people; no write of another process
waits longer than 0.5 s, so that pages answer while the seeding runs.
"""

from __future__ import annotations

import argparse
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAUSE = 0.05  # seconds between two writes of the other process


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profiles", type=int, default=5_000)
    profiles = parser.parse_args().profiles
    with tempfile.TemporaryDirectory(prefix="holdout-benchmark-") as folder:
        environment = {**os.environ, "HOLDOUT_DATA_DIR": folder}
        environment.pop("DATABASE_URL", None)
        manage = [sys.executable, str(ROOT / "manage.py")]
        for command in ("migrate", "prepare"):
            subprocess.run([*manage, command, "--verbosity", "0"], env=environment, check=True, cwd=ROOT)
        started = time.perf_counter()
        seeding = subprocess.Popen(
            [*manage, "seed_demo", "--profiles", str(profiles)], env=environment, cwd=ROOT, stderr=subprocess.DEVNULL
        )
        waits = watch(seeding, Path(folder) / "holdout.sqlite3")
        seconds = time.perf_counter() - started
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    waits.sort()
    print(f"{profiles:,} people in {seconds:.1f} s ({usage.ru_utime + usage.ru_stime:.1f} s CPU with migrations)")
    print(f"memory: {usage.ru_maxrss / 1024:.0f} MB at most")
    print(f"{len(waits)} writes of another process: median {waits[len(waits) // 2]:.3f} s, longest {waits[-1]:.3f} s")
    if seeding.returncode:
        sys.exit(seeding.returncode)


def watch(seeding: subprocess.Popen[bytes], database: Path) -> list[float]:
    """Write a little again and again until the seeding ends; return how long each write took."""
    waits = []
    other = sqlite3.connect(database, timeout=60, isolation_level=None)
    other.execute("PRAGMA synchronous=NORMAL")
    while seeding.poll() is None:
        began = time.perf_counter()
        other.execute("BEGIN IMMEDIATE")
        other.execute("UPDATE marketing_heartbeat SET at = at")
        other.execute("COMMIT")
        waits.append(time.perf_counter() - began)
        time.sleep(PAUSE)
    other.close()
    return waits


if __name__ == "__main__":
    main()
