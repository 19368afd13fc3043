"""`manage.py export_segment SEGMENT`: the members as CSV; the log of changes remembers it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from marketing.models import Segment
from marketing.services.exports import export_members


class Command(BaseCommand):
    help = "Write the members of a segment as CSV, to the standard output or into a file."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("segment", metavar="SEGMENT", help="its slug")
        parser.add_argument("--output", type=Path, help="a file that does not exist yet")

    def handle(self, *args: Any, **options: Any) -> None:
        segment = Segment.objects.filter(slug=options["segment"]).first()
        if segment is None:
            raise CommandError(f"there is no segment {options['segment']}")
        lines = export_members(segment_id=segment.pk, at=timezone.now())
        if options["output"] is None:
            for text in lines:
                self.stdout.write(text, ending="")
            return
        try:
            with options["output"].open("x", encoding="utf-8", newline="") as file:
                file.writelines(lines)
        except OSError as error:
            raise CommandError(f"{options['output']} cannot be written: {error.strerror}") from error
