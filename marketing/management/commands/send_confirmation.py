"""`manage.py send_confirmation PROFILE`: ask somebody to confirm a yes to e-mail."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from marketing.services.confirmation import send_question


class Command(BaseCommand):
    help = "Send a person the link with which they confirm that they want marketing e-mail."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("profile", type=int, help="the profile's number")

    def handle(self, *args: Any, **options: Any) -> None:
        if not send_question(profile_id=options["profile"]):
            raise CommandError("Nobody waits for a confirmation there.", returncode=2)
        self.stdout.write("sent")
