"""`manage.py survey_metrics [KEY …]`: try metrics on everybody and on the demo world."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from experiments.selectors.metrics import get_metric_page
from experiments.services.surveys import make_survey, waiting_ids


class Command(BaseCommand):
    help = "Compute what metrics say about the people who are here (without keys: those that were asked for)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("keys", nargs="*", metavar="KEY")

    def handle(self, *args: Any, keys: list[str], **options: Any) -> None:
        wanted = []
        for key in keys:
            page = get_metric_page(key=key)
            if page is None:
                raise CommandError(f"there is no metric {key}")
            wanted.append(page.metric.pk)
        for metric_id in wanted or waiting_ids():
            make_survey(metric_id=metric_id, at=timezone.now())
        self.stdout.write(f"{len(wanted) or 'the waiting'} metrics surveyed")
