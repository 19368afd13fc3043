"""`manage.py import_ratings PATH …`: ratings or visits in MovieLens's form, as events and items."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from marketing.choices import Purpose
from marketing.errors import CannotImport
from marketing.management.importing import BAD_INPUT
from marketing.management.progress import progress_bar
from marketing.selectors.consent import anybody_agreed
from marketing.services.imported_ratings import LIKED, import_ratings


class Command(BaseCommand):
    help = (
        "Import ratings (MovieLens folders, or any file with a user and an item column; CSV, tab or ::, plain or gzip) "
        f"as events and catalogue items. Ratings of four fifths of the top or more become {LIKED!r}. "
        "The same file comes in once."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a file or a folder")
        parser.add_argument("--items", type=Path, help="a file that describes the items")
        parser.add_argument("--source", default="ratings", help="the source that the rows belong to (default: ratings)")
        parser.add_argument(
            "--agreed",
            action="store_true",
            help="record that these people agreed to personalization: recommenders learn from nobody else",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with progress_bar("Import") as report:
                done = import_ratings(
                    paths=options["paths"],
                    items=options["items"],
                    at=timezone.now(),
                    source_name=options["source"],
                    agreed=options["agreed"],
                    report=report,
                )
        except CannotImport as error:
            raise CommandError(str(error), returncode=BAD_INPUT) from error
        events = done.events
        self.stdout.write(
            f"{events.rows:,} ratings: {events.accepted:,} stored, {events.duplicates:,} known already, "
            f"{events.rejected:,} rejected; {done.items:,} items, {done.consents:,} consents."
        )
        if not anybody_agreed(purpose=Purpose.PERSONALIZATION):
            self.stdout.write(
                "Nobody has agreed to personalization: recommenders learn from nobody. If these people have, import "
                "with --agreed."
            )
