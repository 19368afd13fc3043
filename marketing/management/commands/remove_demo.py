"""`manage.py remove_demo`: take the demo world away."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from marketing.errors import DemoIsBusy
from marketing.management.progress import progress_bar
from marketing.services.demo import job

QUESTION = (
    "This removes the demo's people, events, segments, campaigns, results and items, and nothing else. Go on? [y/N] "
)


class Command(BaseCommand):
    help = "Remove the demo world and nothing else."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["yes"] and not _is_agreed():
            raise CommandError("Nothing was removed. Without a terminal to ask at, pass --yes.")
        try:
            with progress_bar("Demo world") as report:
                people = job.remove(clock=timezone.now, report=report)
        except DemoIsBusy as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"The demo world is gone ({people:,} people).")


def _is_agreed() -> bool:
    try:
        return input(QUESTION).strip().lower() in {"y", "yes"}
    except EOFError:  # no terminal
        return False
