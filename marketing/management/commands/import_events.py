"""`manage.py import_events FILE`: events from a CSV or JSON-lines file."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from marketing.choices import ImportKind, Purpose
from marketing.errors import CannotImport
from marketing.management.importing import BAD_INPUT, add_import_arguments, read_mapping, run_import
from marketing.selectors.consent import anybody_agreed


class Command(BaseCommand):
    help = (
        "Import events. Columns user_id, email, crm or anonymous_id say who, event says what, timestamp says when; "
        "product_id, revenue, currency and order_id are known, every other column becomes a property. An interrupted "
        "import goes on where it stopped; a second import of the same file adds nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add_import_arguments(parser)
        parser.add_argument("--event", help="the event's name, if every row is the same kind of event")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            mapping = read_mapping(options)
        except CannotImport as error:
            raise CommandError(str(error), returncode=BAD_INPUT) from error
        run_import(self, ImportKind.EVENTS, mapping, options)
        if not anybody_agreed(purpose=Purpose.PERSONALIZATION):
            self.stdout.write(
                "Nobody has agreed to personalization: recommenders learn from nobody and no campaign that "
                "personalizes reaches anybody. Import consents with import_profiles (column consent_personalization)."
            )
