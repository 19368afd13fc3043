"""`manage.py apply_retention`: delete what is older than its limit, and prove it."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from marketing.services.retention import apply_retention


class Command(BaseCommand):
    help = "Delete data that is older than the limits of the retention rules; the worker does it every night."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="count only, delete nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        results = apply_retention(at=timezone.now(), is_dry_run=options["dry_run"])
        for one in results:
            done = "would be deleted" if options["dry_run"] else f"older, {one.deleted_n} deleted, {one.older_n} left"
            self.stdout.write(f"{one.data_class} ({one.days} days): {one.older_before_n} {done}")
        left = [one.data_class.value for one in results if one.older_n]
        if left and not options["dry_run"]:
            raise CommandError(f"Older than the limit, and needed by open experiments: {', '.join(left)}.")
