"""`manage.py start_sendings`: write the messages of recurring and triggered campaigns whose occasion has come."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from marketing.services.sending.occasions import start_due


class Command(BaseCommand):
    help = (
        "Write the messages of recurring campaigns whose time has come, and of triggered ones that something set off."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        started = start_due(at=timezone.now())
        for slug, people in started.again.items():
            self.stdout.write(f"{slug}: sent again, to {people} people")
        for slug, people in started.answered.items():
            self.stdout.write(f"{slug}: {people} people set it off")
