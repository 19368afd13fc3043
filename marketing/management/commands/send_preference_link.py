"""`manage.py send_preference_link ADDRESS`: send somebody the link to their own data."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from marketing.services.preferences import send_link


class Command(BaseCommand):
    help = "Send a person the link with which they see, change, download or erase what is stored about them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("address")

    def handle(self, *args: Any, **options: Any) -> None:
        if not send_link(address=options["address"]):
            raise CommandError("Nobody has this address.", returncode=2)
        self.stdout.write("sent")
