"""`manage.py affinity_segment ITEM`: a segment of the people whom an item would suit best."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from recommender.errors import RecommenderError


class Command(BaseCommand):
    """Computes and makes the segment in this process."""

    help = "Make a segment of the people whom an item would suit best."

    def add_arguments(self, parser: CommandParser) -> None:
        """Item, strategy, number, name."""
        parser.add_argument("item_id", metavar="ITEM")
        parser.add_argument("--strategy", default="item-knn", metavar="SLUG")
        parser.add_argument("--people", type=int, default=1_000)
        parser.add_argument("--name", default="")

    def handle(self, *args: Any, **options: Any) -> None:
        """One line: the segment and its members."""
        from marketing.services.affinity import AffinityWish, create_affinity_segment

        wish = AffinityWish(
            item_id=options["item_id"],
            strategy=options["strategy"],
            people=options["people"],
            name=options["name"] or f"Affinity to {options['item_id']}"[:100],
        )
        try:
            segment = create_affinity_segment(wish=wish, at=timezone.now())
        except RecommenderError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{segment.slug}: {segment.members_n} people")
