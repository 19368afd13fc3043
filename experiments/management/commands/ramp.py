"""Take the steps of ramps that are due, or plan those of one experiment."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from experiments.errors import ExperimentsError
from experiments.services.ramp import RampSpec, apply_due_steps, raise_coverage, set_ramp


class Command(BaseCommand):
    help = (
        "Without a key: take every step that is due, as the scheduled task does. With a key: raise the coverage now, "
        "or plan the steps to come. Raising moves nobody; to lower it, open a new phase with change_traffic."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("key", nargs="?", default="", help="the key of a running experiment")
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--now", type=float, metavar="SHARE", help="cover this share from now on, for example 0.5")
        how.add_argument(
            "--steps",
            nargs="*",
            metavar="HOURS=SHARE",
            help="the steps to come, in hours after the start of the phase, for example 24=0.25 72=1; none: it ends",
        )
        parser.add_argument("--message", default="", help="a note for the log")

    def handle(self, *args: Any, **options: Any) -> None:
        at, key = timezone.now(), options["key"]
        if key and options["now"] is None and options["steps"] is None:
            raise CommandError("Name --now or --steps, or leave out the key to take the steps that are due.")
        if not key and (options["now"] is not None or options["steps"] is not None):
            raise CommandError("Name the key of the experiment.")
        try:
            if not key:
                self._take(at)
            elif options["now"] is not None:
                raise_coverage(experiment_key=key, coverage=options["now"], at=at, message=options["message"])
            else:
                steps = [_step(text) for text in options["steps"]]
                set_ramp(experiment_key=key, steps=steps, at=at, message=options["message"])
        except ExperimentsError as error:
            raise CommandError(str(error)) from error

    def _take(self, at: Any) -> None:
        result = apply_due_steps(at=at)
        for key, coverage in result.raised.items():
            self.stdout.write(f"{key}: {coverage:.4g}")
        for key, reason in result.held.items():
            self.stdout.write(f"{key}: held, {reason}")


def _step(text: str) -> RampSpec:
    hours, _, share = text.partition("=")
    try:
        return RampSpec(timedelta(hours=float(hours)), float(share))
    except (ValueError, OverflowError):
        raise CommandError(f"A step looks like HOURS=SHARE, for example 24=0.25, not {text!r}.") from None
