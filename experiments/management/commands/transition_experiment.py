"""Move experiments to another state: start, pause, resume, stop, emergency_stop or archive."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from experiments.errors import ExperimentsError
from experiments.models import Experiment
from experiments.services import lifecycle

_SERVICES: dict[str, Callable[..., Experiment]] = {
    "start": lifecycle.start,
    "pause": lifecycle.pause,
    "resume": lifecycle.resume,
    "stop": lifecycle.stop,
    "emergency_stop": lifecycle.emergency_stop,
    "archive": lifecycle.archive,
}


class Command(BaseCommand):
    help = "Move an experiment to another state."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("transition", choices=sorted(_SERVICES))
        parser.add_argument("key", help="the key of the experiment")
        parser.add_argument("--message", default="", help="a note for the log")

    def handle(self, *args: Any, **options: Any) -> None:
        service = _SERVICES[options["transition"]]
        try:
            experiment = service(experiment_key=options["key"], at=timezone.now(), message=options["message"])
        except ExperimentsError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{experiment.key}: {experiment.status}")
