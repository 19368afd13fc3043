"""`manage.py advance_campaigns`: launch scheduled campaigns whose start has come, finish those whose end has."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from marketing.services.timetable import advance


class Command(BaseCommand):
    help = "Launch scheduled campaigns whose start has come, and finish running ones whose end has."

    def handle(self, *args: Any, **options: Any) -> None:
        result = advance(at=timezone.now())
        for slug in result.launched:
            self.stdout.write(f"{slug}: launched")
        for slug in result.finished:
            self.stdout.write(f"{slug}: finished")
        for slug, reason in result.blocked.items():
            self.stderr.write(f"{slug}: {reason}")
