"""`manage.py import_profiles FILE`: people and their traits from a CSV or JSON-lines file."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from marketing.choices import ImportKind, Sensitivity, TraitType
from marketing.errors import CannotImport
from marketing.management.importing import BAD_INPUT, add_import_arguments, read_mapping, run_import
from marketing.services.imports import undeclared_traits
from marketing.services.profiles import declare_trait


class Command(BaseCommand):
    help = (
        "Import people. Columns user_id, email, crm or anonymous_id say who; every other column is a trait of its "
        "name. Traits are declared first (in the admin or with --declare); a column without one is left out. Columns "
        "consent_analytics, consent_personalization, consent_marketing_email and consent_profiling (yes or no; blank "
        "says nothing) are recorded as consents, at consent_at (default: now) to the text consent_text_version."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add_import_arguments(parser)
        parser.add_argument(
            "--declare",
            action="append",
            default=[],
            metavar="TRAIT:TYPE[:SENSITIVITY]",
            help=f"declare a trait ({', '.join(TraitType.values)}; {', '.join(Sensitivity.values)})",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            mapping = read_mapping(options)
            for text in options["declare"]:
                _declare(text)
            left_out = undeclared_traits(path=options["file"], mapping=mapping)
        except (CannotImport, OSError) as error:
            raise CommandError(str(error), returncode=BAD_INPUT) from error
        if left_out:
            self.stderr.write(f"Not declared, and therefore left out: {', '.join(left_out)}")
        run_import(self, ImportKind.PROFILES, mapping, options)


def _declare(text: str) -> None:
    key, _, rest = text.partition(":")
    type_, _, sensitivity = rest.partition(":")
    if not key or type_ not in TraitType.values or (sensitivity or "normal") not in Sensitivity.values:
        raise CannotImport(f"--declare needs trait:type or trait:type:sensitivity, got {text!r}")
    declare_trait(
        key=key, name=key.replace("_", " "), type_=TraitType(type_), sensitivity=Sensitivity(sensitivity or "normal")
    )
