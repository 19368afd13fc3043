"""`manage.py refresh_segments [SLUG …]`: bring the members in line with the rules."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from marketing.errors import MarketingError
from marketing.models import Segment
from marketing.selectors.segments import refresh_order
from marketing.services.segments import refresh_segment


class Command(BaseCommand):
    help = "Refresh segments (all, or those named), each after the ones it depends on."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slugs", nargs="*", metavar="SLUG")

    def handle(self, *args: Any, **options: Any) -> None:
        names = dict(Segment.objects.values_list("slug", "pk"))
        unknown = sorted(set(options["slugs"]) - names.keys())
        if unknown:
            raise CommandError(f"there is no segment {', '.join(unknown)}")
        wanted = {names[slug] for slug in options["slugs"]}
        slugs = {pk: slug for slug, pk in names.items()}
        for pk in refresh_order():
            if wanted and pk not in wanted:
                continue
            try:
                result = refresh_segment(segment_id=pk, at=timezone.now())
            except MarketingError as error:
                raise CommandError(str(error)) from error
            self.stdout.write(f"{slugs[pk]}: {result.members} members (+{result.entered} −{result.left})")
