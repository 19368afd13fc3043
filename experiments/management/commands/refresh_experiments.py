"""`manage.py refresh_experiments [KEY …]`: the refresh that the scheduler runs, now and here."""

from __future__ import annotations

import logging
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from rich.console import Console
from rich.progress import track

from experiments.models import Experiment
from experiments.services.refresh import record_failure, refresh_experiment, refreshable_ids

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Refresh the stored results of the named experiments, or of all whose results can still change."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("keys", nargs="*", metavar="KEY", help="keys of experiments")

    def handle(self, *args: Any, keys: list[str], **options: Any) -> None:
        known = dict(Experiment.objects.filter(key__in=keys).values_list("key", "pk"))
        unknown = [key for key in keys if key not in known]
        if unknown:
            raise CommandError(f"There is no experiment {unknown[0]!r}.", returncode=2)
        ids = [known[key] for key in keys] if keys else refreshable_ids()
        names = dict(Experiment.objects.filter(pk__in=ids).values_list("pk", "key"))
        console = Console(stderr=True)
        failed = 0
        for experiment_id in track(ids, description="Refreshing", console=console, disable=not sys.stderr.isatty()):
            status = self._refresh(experiment_id)
            failed += status == "failed"
            self.stdout.write(f"{names[experiment_id]}: {status}")
        if failed:
            raise CommandError(f"{failed} of {len(ids)} refreshes failed; the last good results were kept.")

    def _refresh(self, experiment_id: int) -> str:
        at = timezone.now()
        try:
            return refresh_experiment(experiment_id=experiment_id, at=at).status
        except Exception as error:
            logger.exception("refresh of experiment %s failed", experiment_id)
            record_failure(experiment_id=experiment_id, at=at, error=error)
            return "failed"
