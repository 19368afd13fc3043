"""Record the decision on an experiment and act on it, or revert it."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from experiments.choices import DecisionOutcome
from experiments.errors import ExperimentsError
from experiments.services.decision import decide, revert

REVERT = "revert"


class Command(BaseCommand):
    help = "Record the decision on an experiment and act on it, or revert it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("key", help="the key of the experiment")
        parser.add_argument("outcome", choices=[*DecisionOutcome.values, REVERT])
        parser.add_argument("--reason", default="", help="why; needed for a decision")
        parser.add_argument("--arm", default="", help="the key of the arm to ship")
        parser.add_argument(
            "--holdback", type=float, default=0.0, help="share that keeps the default, for example 0.05"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        key, at = options["key"], timezone.now()
        try:
            if options["outcome"] == REVERT:
                decision = revert(experiment_key=key, at=at, message=options["reason"])
            else:
                decision = decide(
                    experiment_key=key,
                    outcome=options["outcome"],
                    reason=options["reason"],
                    at=at,
                    arm_key=options["arm"],
                    holdback=options["holdback"],
                )
        except ExperimentsError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{key}: {'reverted' if decision.reverted_at else decision.outcome}")
