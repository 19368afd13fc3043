"""`manage.py recommend --user U`: the slate a person would get, with reasons."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from recommender.errors import RecommenderError

PATIENCE_MS = 10_000
"""A person at a terminal wants the slate that the model gives, and no page waits."""


class Command(BaseCommand):
    """Asks as a page would; stores the slate only with `--log`."""

    help = "Show what a person would be recommended, and why."

    def add_arguments(self, parser: CommandParser) -> None:
        """Person, strategy, length."""
        parser.add_argument("--user", required=True, metavar="ID")
        parser.add_argument("--strategy", default="item-knn", metavar="SLUG")
        parser.add_argument("-k", type=int, default=10)
        parser.add_argument("--log", action="store_true", help="store the slate")
        parser.add_argument("--format", choices=["table", "json"], default="table")

    def handle(self, *args: Any, **options: Any) -> None:
        """A table, or one JSON object."""
        from recommender.selectors import item_titles, reason_text
        from recommender.services.serving import recommend

        try:
            answer = recommend(
                user_id=options["user"],
                k=options["k"],
                strategy=options["strategy"],
                context={"source": "command"},
                at=timezone.now(),
                log=options["log"],
                budget_ms=PATIENCE_MS,
            )
        except (RecommenderError, ValueError) as error:
            raise CommandError(str(error)) from error
        titles = item_titles(item_ids=[name for item in answer.items for name in item.reason.item_ids])
        rows = [
            {
                "item_id": item.item_id,
                "title": item.title,
                "score": item.score,
                "source": item.source,
                "reason": reason_text(reason=item.reason, titles=titles),
            }
            for item in answer.items
        ]
        if options["format"] == "json":
            about = {"fallback": answer.fallback, "fallback_reason": answer.fallback_reason}
            self.stdout.write(json.dumps({**about, "short_reason": answer.short_reason, "items": rows}))
            return
        for place, row in enumerate(rows, start=1):
            self.stdout.write(f"{place:3}  {row['title']}  [{row['source']} {row['score']:.4f}]  {row['reason']}")
        for label, code in (("fallback", answer.fallback_reason), ("short", answer.short_reason)):
            if code:
                self.stdout.write(f"{label}: {code}")
