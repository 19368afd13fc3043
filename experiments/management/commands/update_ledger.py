"""`manage.py update_ledger`: what everything together caused, quarter by quarter, against the global holdout."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from experiments.selectors.ledger import list_ledger
from experiments.services.ledger import update_ledger


class Command(BaseCommand):
    help = "Compute the quarters of the holdout ledger that are not settled yet, and print the ledger."

    def handle(self, *args: Any, **options: Any) -> None:
        updated = update_ledger(at=timezone.now())
        if not updated:
            self.stdout.write("Nothing to compute: there is no global holdout, or every quarter is settled.")
        for metric in list_ledger():
            for row in metric.rows:
                report = row.report
                found = "–" if report.incremental is None else f"{report.incremental:+,.0f}"
                bounds = report.incremental_ci
                interval = "" if bounds is None else f" ({bounds.lower:+,.0f} to {bounds.upper:+,.0f})"
                self.stdout.write(
                    f"{row.name} {metric.key}: {found}{interval}; "
                    f"{report.held_out_n:,} of {report.people_n:,} held out; single wins {report.wins:+,.0f}"
                )
