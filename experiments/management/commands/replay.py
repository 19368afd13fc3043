"""`manage.py replay SNAPSHOT`: check a stored result by computing it again."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from experiments.services.replay import CannotReplay, replay_snapshot


class Command(BaseCommand):
    help = "Compute a stored result again from the facts, as of its time, and tell what differs."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("snapshot", type=int, metavar="SNAPSHOT", help="number of the snapshot")
        parser.add_argument(
            "--from-aggregates",
            action="store_true",
            help="from the sufficient statistics in the snapshot, as when the events are no longer kept",
        )

    def handle(self, *args: Any, snapshot: int, from_aggregates: bool, **options: Any) -> None:
        try:
            replay = replay_snapshot(snapshot_id=snapshot, from_aggregates=from_aggregates)
        except CannotReplay as error:
            raise CommandError(str(error), returncode=2) from error
        if not replay.is_same_engine:
            self.stdout.write("The snapshot was made by another version of the engine.")
        if replay.is_equal and replay.erased_n:
            self.stdout.write(f"{replay.experiment_key}: equal; {replay.erased_n} people were erased since.")
            return
        if replay.is_equal:
            self.stdout.write(f"{replay.experiment_key}: equal, facts and numbers.")
            return
        facts = "the same" if replay.is_same_facts else "others: events arrived late, were merged or erased since"
        lines = [f"The facts are {facts}.", *replay.differences]
        raise CommandError("\n".join(lines))
