"""`manage.py archive_events`: move old events out of the database."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from marketing.errors import CannotArchive
from marketing.management.progress import progress_bar
from marketing.services.archive import archive_events

# More than a year, so that this season can be compared with the last.
KEEP_DAYS = 400


class Command(BaseCommand):
    help = "Move whole days of events that no open experiment and no segment looks at into Parquet files."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--keep-days", type=int, default=KEEP_DAYS, help=f"days that stay in any case (default {KEEP_DAYS})"
        )

    def handle(self, *args: Any, keep_days: int, **options: Any) -> None:
        if keep_days < 1:
            raise CommandError(f"--keep-days must be at least 1, got {keep_days}")
        try:
            with progress_bar("Archiving") as progress:
                result = archive_events(at=timezone.now(), keep_days=keep_days, progress=progress)
        except CannotArchive as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{result.events_n} events moved into {result.parts_n} files; {result.before} and later stay")
