"""`manage.py prepare`: roles, schedule and built-in definitions, after `migrate`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from marketing.services.setup import prepare


class Command(BaseCommand):
    help = "Bring roles, schedule and built-in definitions up to date (idempotent; run it after migrate)."

    def handle(self, *args: Any, **options: Any) -> None:
        prepare(at=timezone.now())
        if options["verbosity"]:
            self.stdout.write("Roles, schedule and built-in definitions are up to date.")
