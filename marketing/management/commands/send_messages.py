"""`manage.py send_messages`: send what is due, as the schedule does."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from marketing.services.sending.dispatch import send_due


class Command(BaseCommand):
    help = "Freeze the audiences of new campaigns and send the messages that are due."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--seconds", type=float, default=60.0, help="how long at most (default 60)")

    def handle(self, *args: Any, **options: Any) -> None:
        sent = send_due(clock=timezone.now, seconds=options["seconds"])
        parts = [f"{n:,} {what.replace('_', ' ')}" for what, n in sorted(sent.outcomes.items()) if n]
        self.stdout.write(f"{sent.frozen:,} people in new audiences; {', '.join(parts) or 'nothing was due'}.")
