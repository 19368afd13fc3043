"""`manage.py calibrate`: measure the statistics engine on simulated experiments and write it down."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from rich.console import Console
from rich.progress import Progress

FULL_RUNS = 20_000
"""Simulated experiments per cell: a Monte Carlo error of 0.15 points at 5 %."""
QUICK_RUNS = 1_500
"""For CI: twenty seconds of one core, a Monte Carlo error of 0.6 points."""
SEED = 20_261_124
BEGIN, END = "<!-- calibration: begin -->", "<!-- calibration: end -->"


class Command(BaseCommand):
    help = (
        "Measure false positives, power, coverage and sample-ratio alarms of the statistics engine by simulation. "
        "The full run writes its tables into docs/statistics.md; the command fails where a criterion does not hold."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--quick", action="store_true", help=f"{QUICK_RUNS:,} runs per cell, nothing is written")
        parser.add_argument("--runs", type=int, help=f"runs per cell (default {FULL_RUNS:,})")
        parser.add_argument("--seed", type=int, default=SEED)
        parser.add_argument("--docs", type=Path, help="the file to write the tables into, between its markers")

    def handle(self, *args: Any, **options: Any) -> None:
        from experiments.stats.calibration import tasks
        from experiments.stats.calibration_tables import markdown

        runs = options["runs"] or (QUICK_RUNS if options["quick"] else FULL_RUNS)
        if runs < 1:
            raise CommandError("--runs must be 1 or more.", returncode=2)
        started_at = timezone.now()
        rows = []
        with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
            todo = tasks(runs=runs, seed=options["seed"])
            bar = progress.add_task("Calibrating", total=len(todo))
            for task in todo:
                progress.update(bar, description=task.label)
                rows += task.run()
                progress.advance(bar)
        failed = [row for row in rows if row.passes is False]
        seconds = (timezone.now() - started_at).total_seconds()
        head = (
            f"Measured on {started_at:%Y-%m-%d} with seed {options['seed']}, {runs:,} runs per cell, "
            f"in {seconds:.0f} s: {len(rows) - len(failed)} of {len(rows)} rows hold or are reported only."
        )
        text = f"{head}\n\n{markdown(rows)}\n"
        self.stdout.write(text)
        path = options["docs"] or (None if options["quick"] else settings.BASE_DIR / "docs" / "statistics.md")
        if path is not None:
            self._write(path, text)
        if failed:
            names = "; ".join(f"{row.table}: {' | '.join(row.cells)}" for row in failed)
            raise CommandError(f"{len(failed)} criteria do not hold: {names}")

    def _write(self, path: Path, text: str) -> None:
        try:
            page = path.read_text(encoding="utf-8")
        except OSError as error:
            raise CommandError(f"The tables cannot be written: {error}", returncode=2) from error
        before, begin, rest = page.partition(BEGIN)
        _, end, after = rest.partition(END)
        if not begin or not end:
            raise CommandError(f"{path} has no markers {BEGIN} and {END}.", returncode=2)
        path.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}", encoding="utf-8")
