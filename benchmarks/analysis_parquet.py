"""One outcome with window and covariate over Parquet, from 1 to 100 million events: CPU, memory, linearity.

    python benchmarks/analysis_parquet.py [--millions 1 10 100] [--plot docs/img/analysis-parquet.svg]

DuckDB makes the data (a tenth as many people as events; a third of the events belong to the metric). `WarehouseFacts`
computes the expression's rows in a process of its own, whose CPU seconds and peak memory are those of the analysis.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("HOLDOUT_DATA_DIR", tempfile.mkdtemp(prefix="holdout-benchmark-"))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

NAME = "benchmark"
MICROS = 86_400_000_000
WIDTH, HEIGHT, LEFT, BOTTOM = 420, 260, 52, 36


def make(folder: Path, events: int) -> None:
    """Exposures and events as two Parquet files."""
    import duckdb

    people = events // 10
    with duckdb.connect() as connection:
        connection.execute("SET threads TO 2; SET memory_limit = '1500MB'; SELECT setseed(0.1)")
        connection.execute(
            f"COPY (SELECT i AS unit, CASE WHEN hash(i) % 2 = 0 THEN 'control' ELSE 'treatment' END AS arm, "
            f"1::BIGINT AS phase, (30 * {MICROS} + hash(i, 1) % (120 * {MICROS}))::BIGINT AS first_at "
            f"FROM range({people}) t(i)) TO '{folder}/exposures.parquet' (COMPRESSION zstd)"
        )
        connection.execute(
            f"COPY (SELECT (hash(i, 2) % {people})::BIGINT AS unit, "
            "CASE hash(i, 3) % 3 WHEN 0 THEN 'Order Completed' WHEN 1 THEN 'Product Viewed' ELSE 'Clicked' END "
            "AS type, "
            f"(hash(i, 4) % (180 * {MICROS}))::BIGINT AS at, ((hash(i, 5) % 200) * 1000000)::BIGINT AS value "
            f"FROM range({events}) t(i)) TO '{folder}/events.parquet' (COMPRESSION zstd)"
        )


def run(folder: Path) -> None:
    """Run the expression in this process and print CPU seconds, wall seconds and peak memory."""
    import django

    django.setup()
    from django.test import override_settings

    from benchmarks.analysis_facts import FIVE, UNTIL
    from experiments.facts.expressions import unit_totals
    from experiments.facts.warehouse import WarehouseFacts

    with override_settings(DATA_DIR=folder):
        facts = WarehouseFacts(reference=NAME)
        expression = unit_totals(facts, experiment_key="x", metrics=FIVE[:1], until=UNTIL)
        facts.compile(expression)  # loads the compiler; that is no cost of the events
        cpu, wall = time.process_time(), time.perf_counter()
        rows_n = facts.execute(expression).num_rows
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(json.dumps({"cpu": cpu, "wall": wall, "peak_gib": peak, "rows_n": rows_n}))


def plot(points: list[tuple[int, float]]) -> str:
    """CPU seconds over events, both on logarithmic scales, beside the line of equal cost per event."""
    lower, upper = math.log10(points[0][0]), math.log10(points[-1][0])
    costs = [math.log10(cpu) for _, cpu in points]
    floor, top = math.floor(min(costs)), math.ceil(max(costs))

    def place(millions: float, cpu: float) -> str:
        x = LEFT + (math.log10(millions) - lower) / (upper - lower) * (WIDTH - LEFT - 20)
        y = 16 + (top - math.log10(cpu)) / (top - floor) * (HEIGHT - 16 - BOTTOM)
        return f"{x:.1f},{y:.1f}"

    line = " ".join(place(millions, cpu) for millions, cpu in points)
    last_n, last = points[-1]
    even = " ".join(place(millions, last * millions / last_n) for millions, _ in points)
    marks = "".join(
        f'<circle cx="{place(n, cpu).split(",")[0]}" cy="{place(n, cpu).split(",")[1]}" r="4" fill="#3b35b0"/>'
        f'<text x="{place(n, cpu).split(",")[0]}" y="{HEIGHT - 12}" text-anchor="middle">{n} M</text>'
        f'<text x="{place(n, cpu).split(",")[0]}" y="{float(place(n, cpu).split(",")[1]) - 9:.1f}" '
        f'text-anchor="middle">{cpu:.1f} s</text>'
        for n, cpu in points
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">'
        f"<title>CPU seconds of one analysis over Parquet, by millions of events</title>"
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>'
        f'<polyline points="{even}" fill="none" stroke="#999999" stroke-dasharray="4 4"/>'
        f'<polyline points="{line}" fill="none" stroke="#3b35b0" stroke-width="2"/>{marks}'
        f'<text x="8" y="14">CPU seconds (dashed: the same cost per event as at {last_n} M)</text></svg>\n'
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millions", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        run(options.run)
        return
    points = []
    print("million events   CPU s   wall s   peak GiB   CPU s per million")
    for millions in sorted(options.millions):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "parquet" / NAME
            folder.mkdir(parents=True)
            make(folder, millions * 1_000_000)
            command = [sys.executable, __file__, "--run", name]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        points.append((millions, found["cpu"]))
        print(
            f"{millions:14} {found['cpu']:7.2f} {found['wall']:8.2f} {found['peak_gib']:10.2f} "
            f"{found['cpu'] / millions:19.3f}",
            flush=True,
        )
    if options.plot and len(points) > 1:
        options.plot.parent.mkdir(parents=True, exist_ok=True)
        options.plot.write_text(plot(points))


if __name__ == "__main__":
    main()
