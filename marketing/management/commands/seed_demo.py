"""`manage.py seed_demo`: build the demo world."""

from __future__ import annotations

import os
import signal
import sys
import time
from types import FrameType
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections
from django.utils import timezone

from marketing.errors import DemoIsBusy
from marketing.management.progress import progress_bar
from marketing.services.demo import job
from marketing.services.demo.stage import DEFAULT_LIFT

WAIT: Final = 3.0  # seconds between looks whether a process that died in the middle counts as dead
FEWEST: Final = 50  # people: with fewer a segment may be empty, and a campaign needs somebody
TERMINATED: Final = 128 + signal.SIGTERM


class Command(BaseCommand):
    help = "Build the demo world: a shop, its people and campaigns whose true effects are known."
    requires_system_checks = ()  # they load every page and form: 30 MB that are not needed here

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--seed", type=int, default=1, help="of the generator (default 1)")
        parser.add_argument("--profiles", type=int, default=5_000, help="number of people (default 5000)")
        parser.add_argument(
            "--lift",
            type=float,
            default=DEFAULT_LIFT,
            help=f"true relative effect of the two campaigns that work (default {DEFAULT_LIFT})",
        )
        parser.add_argument(
            "--if-empty", action="store_true", help="only if there are no people, or to finish what was interrupted"
        )
        parser.add_argument(
            "--in-parts", action="store_true", help="start anew for the results: takes a second more, and 80 MB less"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["profiles"] < FEWEST or not -1 < options["lift"] <= 1:
            raise CommandError(f"--profiles must be at least {FEWEST}, --lift above −1 and at most 1.")
        signal.signal(signal.SIGTERM, _leave)
        if options["if_empty"]:
            self._finish_what_is_pending(options)
            return
        try:
            self._build(options)
        except DemoIsBusy as error:
            raise CommandError(str(error)) from error

    def _finish_what_is_pending(self, options: dict[str, Any]) -> None:
        while (todo := job.pending()) != job.Pending.NOTHING:
            try:
                if todo == job.Pending.SEED:
                    self._build(options)
                elif todo == job.Pending.RESULTS:
                    self._read_results()
                else:
                    with progress_bar("Demo world") as report:
                        job.remove(clock=timezone.now, report=report)
            except DemoIsBusy:
                time.sleep(WAIT)

    def _build(self, options: dict[str, Any]) -> None:
        with progress_bar("Demo world") as report:
            job.build(
                seed=options["seed"],
                profiles=options["profiles"],
                lift=options["lift"],
                clock=timezone.now,
                report=report,
            )
        if options["in_parts"]:
            # Memory that a process has had it keeps: a new one, in its place, begins without the models and the people.
            connections.close_all()
            os.execv(sys.executable, [sys.executable, sys.argv[0], "seed_demo", "--if-empty"])  # noqa: S606 - our own words
        self._read_results()

    def _read_results(self) -> None:
        with progress_bar("Demo world") as report:
            job.read_results(clock=timezone.now, report=report)
        self.stdout.write("The demo world is ready.")


def _leave(_number: int, _frame: FrameType | None) -> None:
    sys.exit(TERMINATED)
