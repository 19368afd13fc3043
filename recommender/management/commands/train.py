"""`manage.py train [SLUG …]`: trains strategies now; without a slug those that are due."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from recommender.errors import NotEnoughData, RecommenderError


class Command(BaseCommand):
    """Trains one strategy after the other."""

    help = "Train recommendation strategies (all that are due, or those named)."

    def add_arguments(self, parser: CommandParser) -> None:
        """Slugs and a seed."""
        parser.add_argument("slugs", nargs="*", metavar="SLUG")
        parser.add_argument("--seed", type=int, default=0)

    def handle(self, *args: Any, **options: Any) -> None:
        """One line per strategy on standard output; exit status 1 if one failed."""
        from recommender.services.schedule import due_trainings
        from recommender.services.training import train

        named: list[tuple[str, int | None]] = [(slug, None) for slug in options["slugs"]]
        trainings = named or list(due_trainings(at=timezone.now()))
        failed = []
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            for slug, version in trainings:
                task = progress.add_task(slug, total=None)

                def say(step: str, *, slug: str = slug, task: Any = task) -> None:
                    progress.update(task, description=f"{slug}: {step}")

                try:
                    model = train(slug=slug, version=version, at=timezone.now(), seed=options["seed"], progress=say)
                except NotEnoughData as error:
                    if slug in options["slugs"]:
                        failed.append(slug)
                    self.stdout.write(f"{slug}: not enough data yet ({error})")
                except RecommenderError as error:
                    failed.append(slug)
                    self.stderr.write(f"{slug}: {error}")
                else:
                    ndcg = model.metrics.get("ndcg")
                    quality = "not judged" if ndcg is None else f"NDCG@10 {ndcg:.4f}"
                    self.stdout.write(f"{slug}: {model.get_status_display()}, {model.n_interactions} events, {quality}")
                progress.remove_task(task)
        if failed:
            raise CommandError(f"not trained: {', '.join(failed)}")
