"""Open a new phase of a running experiment: other weights, coverage or targeting from now on."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from experiments.errors import ExperimentsError
from experiments.services.lifecycle import open_phase


class Command(BaseCommand):
    help = "Open a new phase of a running experiment. What is not named stays; exposed units keep their arm."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("key", help="the key of the experiment")
        parser.add_argument("--weights", nargs="+", metavar="ARM=WEIGHT", help="for example control=0.2 new=0.8")
        parser.add_argument("--coverage", type=float, help="share of the targeted units that is in, for example 0.5")
        parser.add_argument("--targeting", help="a rule as JSON; {} is everyone")
        parser.add_argument("--message", default="", help="a note for the log")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            phase = open_phase(
                experiment_key=options["key"],
                at=timezone.now(),
                message=options["message"],
                weights=None if options["weights"] is None else dict(map(_weight, options["weights"])),
                coverage=options["coverage"],
                targeting=None if options["targeting"] is None else _rule(options["targeting"]),
            )
        except ExperimentsError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{options['key']}: phase {phase.number}")


def _weight(text: str) -> tuple[str, float]:
    key, _, weight = text.partition("=")
    try:
        return key, float(weight)
    except ValueError:
        raise CommandError(f"A weight looks like ARM=0.5, not {text!r}.") from None


def _rule(text: str) -> dict[str, Any]:
    try:
        rule = json.loads(text)
    except ValueError as error:
        raise CommandError(f"The targeting rule is not JSON: {error}.") from error
    if not isinstance(rule, dict):
        raise CommandError("The targeting rule must be a JSON object.")
    return rule
