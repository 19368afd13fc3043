"""`manage.py record_basis TRAIT`: on what legal basis a protected trait is kept and reported on."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from marketing.choices import SpecialBasis
from marketing.services.protected import protected_among, record_basis


class Command(BaseCommand):
    help = "Record the legal basis (Art. 9(2) GDPR) of a protected trait; without one it is in no report."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("trait")
        parser.add_argument("--basis", required=True, choices=SpecialBasis.values)
        parser.add_argument("--reason", required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        found = protected_among([options["trait"]])
        if not found:
            raise CommandError(f"{options['trait']} is no protected trait.", returncode=2)
        if not options["reason"].strip():
            raise CommandError("The reason is empty.", returncode=2)
        basis = SpecialBasis(options["basis"])
        record_basis(definition=found[0], basis=basis, reason=options["reason"].strip(), at=timezone.now())
        self.stdout.write(f"{found[0].key}: {basis.label}")
