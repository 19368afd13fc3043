"""`manage.py drain`: move what was collected into the database."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from marketing.services.drain import drain


class Command(BaseCommand):
    help = "Move this host's spool into the database (the scheduled task does the same every second)."

    def handle(self, *args: Any, **options: Any) -> None:
        result = drain(at=timezone.now())
        self.stdout.write(
            f"{result.accepted} stored, {result.duplicates} known already, {result.rejected} rejected, "
            f"{result.segments_removed} segments removed"
        )
