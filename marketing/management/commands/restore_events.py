"""`manage.py restore_events FIRST LAST`: bring archived days back into the database."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from marketing.errors import CannotArchive
from marketing.management.progress import progress_bar
from marketing.services.archive import restore_events


class Command(BaseCommand):
    help = "Bring the archived events of these days (UTC, both included) back into the database."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("first", type=date.fromisoformat, help="for example 2025-01-01")
        parser.add_argument("last", type=date.fromisoformat, help="for example 2025-01-31")

    def handle(self, *args: Any, first: date, last: date, **options: Any) -> None:
        try:
            with progress_bar("Restoring") as progress:
                restored = restore_events(first=first, last=last, progress=progress)
        except CannotArchive as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{restored} events restored")
