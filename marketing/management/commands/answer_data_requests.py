"""`manage.py answer_data_requests`: make the files for people who asked for their data."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from marketing.services.answers import answer_due


class Command(BaseCommand):
    help = "Answer every request for data that waits; the worker does it every minute."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{answer_due(at=timezone.now())} answered")
