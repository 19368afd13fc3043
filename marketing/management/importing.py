"""What the two import commands share: their options, and how they say what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from marketing.choices import ImportKind
from marketing.errors import CannotImport
from marketing.management.progress import progress_bar
from marketing.services.imports import ImportSummary, import_file
from marketing.services.mapping import RowMapping, read_pairs

BAD_INPUT = 2


def add_import_arguments(parser: CommandParser) -> None:
    parser.add_argument("file", type=Path, help="CSV or JSON lines, plain or gzip")
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="COLUMN=FIELD",
        help="what a column is, if its name does not say it ('-' leaves it out); repeat for more columns",
    )
    parser.add_argument("--source", default="import", help="the source that the rows belong to (default: import)")
    parser.add_argument("--time-zone", default="UTC", help="of times that name none, e.g. Europe/Berlin (default UTC)")
    parser.add_argument("--again", action="store_true", help="read a file again that was imported to its end")


def read_mapping(options: Mapping[str, Any]) -> RowMapping:
    """Return how the options say to read the rows; `CannotImport` if they contradict themselves."""
    try:
        ZoneInfo(options["time_zone"])
    except (KeyError, ValueError, OSError) as error:
        raise CannotImport(f"there is no time zone {options['time_zone']}") from error
    return RowMapping(
        renamed=read_pairs(options["map"]), event=options.get("event") or "", time_zone=options["time_zone"]
    )


def run_import(command: BaseCommand, kind: ImportKind, mapping: RowMapping, options: Mapping[str, Any]) -> None:
    """Import the file with a progress bar, and say what it added."""
    try:
        with progress_bar("Import") as report:
            summary = import_file(
                kind=kind,
                path=options["file"],
                mapping=mapping,
                at=timezone.now(),
                source_name=options["source"],
                is_again=options["again"],
                report=report,
            )
    except CannotImport as error:
        raise CommandError(str(error), returncode=BAD_INPUT) from error
    _say(command, summary)


def _say(command: BaseCommand, summary: ImportSummary) -> None:
    write = command.stdout.write
    if summary.was_finished:
        write("This file has been imported already; nothing was added (--again reads it once more).")
    write(
        f"{summary.rows:,} rows: {summary.accepted:,} stored, {summary.duplicates:,} known already, "
        f"{summary.rejected:,} rejected."
    )
    if summary.unconverted:
        write(f"{summary.unconverted:,} amounts are held out: no exchange rate is stored for their day and currency.")
    if summary.consents:
        write(f"{summary.consents:,} consents recorded.")
    for name, times in sorted(summary.ignored.items()):
        write(f"{name}: left out {times:,} times (not a declared trait, or a value that does not fit).")
    if summary.rejected_file is not None:
        write(f"The rejected rows, with reasons: {summary.rejected_file}")
