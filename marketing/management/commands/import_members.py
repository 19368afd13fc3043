"""`manage.py import_members LIST FILE`: who is in a list, from a CSV or JSON-lines file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from marketing.choices import ListMode
from marketing.errors import CannotEditSegment, CannotImport
from marketing.management.importing import BAD_INPUT
from marketing.management.progress import progress_bar
from marketing.models import Segment
from marketing.services.files import sha256_of
from marketing.services.lists import create_list, import_members
from marketing.services.mapping import RowMapping, read_pairs


class Command(BaseCommand):
    help = (
        "Read the members of a list from a file that names people by user_id, email, crm, anonymous_id or device. "
        "Nobody is made: whoever is not known is a rejected row. An import that was stopped goes on where it was."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("segment", metavar="LIST", help="the slug of a list; with --create the name of a new one")
        parser.add_argument("file", type=Path, help="CSV or JSON lines, plain or gzip")
        parser.add_argument("--create", action="store_true", help="make the list first")
        parser.add_argument("--mode", choices=ListMode.values, default=ListMode.ADD.value)
        parser.add_argument(
            "--map", action="append", default=[], metavar="COLUMN=FIELD", help="what a column is; repeat for more"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            mapping = RowMapping(renamed=read_pairs(options["map"]))
            sha256_of(options["file"])  # before a list is made for a file that is not there
            segment = self._segment(options["segment"], create=options["create"])
            with progress_bar("Import") as report:
                summary = import_members(
                    segment_id=segment.pk,
                    path=options["file"],
                    mapping=mapping,
                    mode=ListMode(options["mode"]),
                    at=timezone.now(),
                    report=report,
                )
        except (CannotImport, CannotEditSegment) as error:
            raise CommandError(str(error), returncode=BAD_INPUT) from error
        self.stdout.write(
            f"{summary.rows:,} rows: {summary.accepted:,} people, {summary.duplicates:,} named again, "
            f"{summary.rejected:,} rejected. {segment.slug} has {summary.members:,} members now."
        )
        if summary.rejected_file is not None:
            self.stdout.write(f"The rejected rows, with reasons: {summary.rejected_file}")

    def _segment(self, given: str, *, create: bool) -> Segment:
        if create:
            return create_list(name=given, at=timezone.now())
        segment = Segment.objects.filter(slug=given).first()
        if segment is None:
            raise CannotImport(f"there is no segment {given}; --create makes it")
        return segment
