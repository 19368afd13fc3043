"""`manage.py certify EXPERIMENT`: the false-positive rate that an experiment would have had on the past."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from experiments.errors import ExperimentsError
from experiments.selectors.certificates import CertificateReport, decode_certificate
from experiments.services.certificate import PAST_DAYS, SEEDS, TRIGGERS, certify


class Command(BaseCommand):
    help = (
        "Assign the people of the past weeks anew under many hash seeds and test every metric: what comes out "
        "significant is false. Stored, on the experiment's page and in its launch checklist."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("experiment", metavar="EXPERIMENT", help="key of the experiment, a draft as a rule")
        parser.add_argument("--seeds", type=int, default=SEEDS, help=f"A/A tests to make (default {SEEDS})")
        parser.add_argument("--days", type=int, default=PAST_DAYS, help=f"days of the past (default {PAST_DAYS})")
        parser.add_argument(
            "--trigger",
            action="append",
            metavar="EVENT",
            help=f"an event at whose first occurrence somebody counts as exposed; default: {', '.join(TRIGGERS)}",
        )

    def handle(self, *args: Any, experiment: str, seeds: int, days: int, **options: Any) -> None:
        if seeds < 1 or days < 1:
            raise CommandError("--seeds and --days must be at least 1.", returncode=2)
        with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
            task = bar.add_task("Seeds", total=seeds)
            try:
                row = certify(
                    experiment_key=experiment,
                    at=timezone.now(),
                    seeds=seeds,
                    days=days,
                    triggers=options["trigger"] or TRIGGERS,
                    progress=lambda done, _total: bar.update(task, completed=done),
                )
            except ExperimentsError as error:
                raise CommandError(str(error), returncode=2) from error
        report = decode_certificate(row.report)
        self._print(report, row.duration_ms)
        if not report.is_sound:
            raise CommandError("Something alarms more often than it promises; see the table.")

    def _print(self, report: CertificateReport, duration_ms: int) -> None:
        table = Table(title=f"{report.units_n:,} people, {report.days} days, {report.seeds_n:,} A/A tests")
        for heading in ("metric", "arm", "false positives", "95 % interval", "variance saved", "MDE", "days"):
            table.add_column(heading, justify="left" if heading in {"metric", "arm"} else "right")
        for one in report.metrics:
            interval = "–" if one.rate_lower is None else f"{one.rate_lower:.1%} to {one.rate_upper:.1%}"
            table.add_row(
                one.metric,
                one.arm,
                "–" if one.rate is None else f"{one.rate:.1%}",
                interval,
                "–" if one.variance_saved is None else f"{one.variance_saved:.0%}",
                "–" if one.mde is None else f"{one.mde:.1%}",
                "–" if one.days_needed is None else str(one.days_needed),
            )
        console = Console(file=self.stdout, width=110)  # type: ignore[arg-type]  # an OutputWrapper writes like a file
        console.print(table)
        self.stdout.write(
            f"Sample ratio: {report.srm_false_alarms_n} of {report.seeds_n} tests alarmed at 1 %. "
            f"Taken {duration_ms / 1000:.1f} s."
        )
