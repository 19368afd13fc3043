"""`manage.py refresh_segments [--full] [SLUG …]`: bring the members in line with the rules."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from marketing.errors import MarketingError
from marketing.models import Segment
from marketing.selectors.segment_references import refresh_order
from marketing.services.membership import refresh_changes, refresh_segment


class Command(BaseCommand):
    help = (
        "Refresh segments, each after the ones it depends on: for the people who can have changed sides since the last "
        "time. Those named, and all of them with --full, are counted for everybody."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slugs", nargs="*", metavar="SLUG")
        parser.add_argument("--full", action="store_true", help="count everybody, whoever changed")

    def handle(self, *args: Any, **options: Any) -> None:
        names = dict(Segment.objects.values_list("slug", "pk"))
        unknown = sorted(set(options["slugs"]) - names.keys())
        if unknown:
            raise CommandError(f"there is no segment {', '.join(unknown)}")
        wanted = {names[slug] for slug in options["slugs"]}
        slugs = {pk: slug for slug, pk in names.items()}
        if not wanted and not options["full"]:
            self._refresh_changes(slugs)
            return
        for pk in refresh_order():
            if wanted and pk not in wanted:
                continue
            try:
                result = refresh_segment(segment_id=pk, at=timezone.now())
            except MarketingError as error:
                raise CommandError(str(error)) from error
            self.stdout.write(f"{slugs[pk]}: {result.members} members (+{result.entered} −{result.left})")

    def _refresh_changes(self, slugs: dict[int, str]) -> None:
        found = refresh_changes(at=timezone.now())
        for pk, result in found.refreshed.items():
            self.stdout.write(f"{slugs[pk]}: {result.members} members (+{result.entered} −{result.left})")
        if found.failed:
            raise CommandError("; ".join(f"{slugs[one.segment_id]}: {one.error}" for one in found.failed))
