"""`manage.py erase_profile PUBLIC_ID`: delete everything about one person."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from marketing.selectors.profiles import get_profile
from marketing.services.privacy import erase_profile


class Command(BaseCommand):
    help = "Delete every row about a person. This cannot be undone; models forget at the next training."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("public_id")
        parser.add_argument("--yes", action="store_true", help="do it; without this it only says what is there")

    def handle(self, *args: Any, **options: Any) -> None:
        profile = get_profile(public_id=options["public_id"])
        if profile is None:
            raise CommandError("There is no such profile.", returncode=2)
        if not options["yes"]:
            raise CommandError("This deletes the person for good: say so with --yes.", returncode=2)
        for name, number in sorted(erase_profile(profile_id=profile.pk, at=timezone.now()).items()):
            if number:
                self.stdout.write(f"{name}: {number}")
