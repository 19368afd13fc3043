"""`manage.py backup_sqlite FILE`: a consistent copy of the SQLite database while Holdout runs."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection


class Command(BaseCommand):
    help = "Copy the SQLite database, consistent even while Holdout runs (PostgreSQL: use pg_dump)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="where the copy goes; it must not exist yet")

    def handle(self, *args: Any, **options: Any) -> None:
        file: Path = options["file"]
        if connection.vendor != "sqlite":
            raise CommandError("This installation runs on PostgreSQL: back it up with pg_dump (docs/deploy.md).")
        if file.exists():
            raise CommandError(f"{file} exists already: name a new file.")
        connection.ensure_connection()
        unfinished = file.with_suffix(file.suffix + ".part")
        unfinished.unlink(missing_ok=True)
        target = sqlite3.connect(unfinished)
        try:
            connection.connection.backup(target)
        finally:
            target.close()
        unfinished.rename(file)
        self.stdout.write(f"Copied the database to {file} ({file.stat().st_size:,} bytes).")
