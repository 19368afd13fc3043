"""Hold out a share of the units from every experiment, or from those of a layer."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from experiments.errors import ExperimentsError
from experiments.services.holdout import set_holdout


class Command(BaseCommand):
    help = "Hold out a share of the units from now on. Share 0 ends it. Exposed units keep their arm."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("share", type=float, help="for example 0.05")
        parser.add_argument("--layer", default="", help="the key of a layer; without it the holdout is global")
        parser.add_argument("--unit-type", default="profile")
        parser.add_argument("--redraw", action="store_true", help="hold out other people than before")
        parser.add_argument("--message", default="", help="a note for the log")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            holdout = set_holdout(
                share=options["share"],
                at=timezone.now(),
                message=options["message"],
                layer_key=options["layer"],
                unit_type=options["unit_type"],
                is_redrawn=options["redraw"],
            )
        except ExperimentsError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{options['layer'] or 'global'}: version {holdout.number}, share {holdout.share}")
