"""`manage.py export_profile PUBLIC_ID`: everything that is stored about one person, as JSON."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from marketing.selectors.profiles import get_profile
from marketing.services.privacy import export_profile


class Command(BaseCommand):
    help = "Print every row about a person (access, portability)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("public_id")

    def handle(self, *args: Any, **options: Any) -> None:
        profile = get_profile(public_id=options["public_id"])
        if profile is None:
            raise CommandError("There is no such profile.", returncode=2)
        self.stdout.write(json.dumps(export_profile(profile_id=profile.pk), indent=2, ensure_ascii=False))
