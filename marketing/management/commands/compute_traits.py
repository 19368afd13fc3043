"""`manage.py compute_traits [--full] [--profiles ID …]`: bring the computed traits up to date."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from marketing.errors import CannotComputeTraits
from marketing.management.progress import progress_bar
from marketing.selectors.profiles import get_profile
from marketing.services.portrait.run import compute_traits


class Command(BaseCommand):
    help = "Bring the computed traits up to date: of who changed since the last time, of everybody, or of some people."

    def add_arguments(self, parser: ArgumentParser) -> None:
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--full", action="store_true", help="count everybody anew")
        which.add_argument("--profiles", nargs="+", metavar="ID", help="only these people, by their public ids")

    def handle(self, *args: Any, full: bool, profiles: list[str] | None, **options: Any) -> None:
        try:
            with progress_bar("Computing traits") as progress:
                outcome = compute_traits(
                    clock=timezone.now,
                    is_full=full,
                    profile_ids=None if profiles is None else [self._key(one) for one in profiles],
                    progress=progress,
                )
        except CannotComputeTraits as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{outcome.kind.label}: {outcome.people} people recounted, {outcome.changed} values changed")

    @staticmethod
    def _key(public_id: str) -> int:
        profile = get_profile(public_id=public_id)
        if profile is None:
            raise CommandError(f"--profiles: there is no profile {public_id}")
        return profile.pk
