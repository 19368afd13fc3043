"""Files of events and people, imported in batches: resumable at the row, and adding nothing the second time."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any, Final

from django.db import transaction
from django.db.models import F

from marketing.choices import ImportKind, SourceKind
from marketing.errors import CannotImport
from marketing.models import ImportRun, TraitDefinition
from marketing.segmentation.rules import fingerprint
from marketing.services.files import FileRow, open_table, sha256_of
from marketing.services.imported_consents import ImportedConsent, read_consents, store_consents
from marketing.services.ingestion import ingest
from marketing.services.mapping import (
    RowMapping,
    check_columns,
    consent_fields,
    event_message,
    first_identity,
    profile_message,
    trait_columns,
)
from marketing.services.messages import BadMessage
from marketing.services.sources import ensure_source
from marketing.services.traits import TYPED

BATCH: Final = 5_000  # rows a transaction: the most that a kill loses, and the most that is held in memory
SHOWN_HASH: Final = 24  # hex digits of the file's hash in message ids: 96 bits
ERASED: Final = "this person was erased; an import brings nobody back"
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What the import of one file added, over all its runs; `was_finished`: an earlier run had done it all."""

    rows: int
    accepted: int
    duplicates: int
    rejected: int
    rejected_file: Path | None
    was_finished: bool
    unconverted: int = 0
    consents: int = 0
    ignored: Counter[str] = field(default_factory=Counter)


def import_file(
    *,
    kind: ImportKind,
    path: Path,
    mapping: RowMapping,
    at: datetime,
    source_name: str = "import",
    is_again: bool = False,
    report: Progress = lambda _step, _done, _total: None,
) -> ImportSummary:
    """Import a file from where its last import stopped; `is_again` reads a finished one from its beginning.

    The same rows come in once however often they are read: a row's id is the file's hash and its number.
    """
    sha256 = sha256_of(path)
    source = ensure_source(name=source_name, kind=SourceKind.IMPORT, at=at)
    with open_table(path) as table:
        if table.columns is not None:
            check_columns(table.columns, mapping, is_events=kind == ImportKind.EVENTS)
        run, _ = ImportRun.objects.get_or_create(
            kind=kind,
            source=source,
            file_sha256=sha256,
            mapping_sha256=fingerprint(mapping.as_json()),
            defaults={"file_name": path.name[:255], "mapping": mapping.as_json(), "started_at": at},
        )
        was_finished = run.finished_at is not None
        rejected_file = path.with_name(path.name + ".rejected.csv")
        if was_finished and not is_again:
            return _summary(run, rejected_file, was_finished=True)
        if was_finished:
            ImportRun.objects.filter(pk=run.pk).update(
                next_row=0, accepted=0, duplicates=0, rejected=0, rejected_bytes=0, finished_at=None
            )
            run.refresh_from_db()
        work = _Import(run=run, mapping=mapping, at=at, sha256=sha256)
        with reject_file(rejected_file, run.rejected_bytes) as rejects:
            rows = islice(table.rows, run.next_row, None)
            size = path.stat().st_size
            while batch := list(islice(rows, BATCH)):
                work.store(batch, rejects)
                report(path.name, min(table.position(), size), size)
    ImportRun.objects.filter(pk=run.pk).update(finished_at=at)
    run.refresh_from_db()
    return _summary(run, rejected_file, work=work)


def undeclared_traits(*, path: Path, mapping: RowMapping) -> list[str]:
    """Return the columns of a CSV file of people that no trait is declared for: they would not be kept."""
    with open_table(path) as table:
        names = trait_columns(table.columns or (), mapping)
    declared = set(TraitDefinition.objects.values_list("key", flat=True))
    return [name for name in names if name not in declared and name not in TYPED]


@dataclass(slots=True)
class _Import:
    run: ImportRun
    mapping: RowMapping
    at: datetime
    sha256: str
    unconverted: int = 0
    consents: int = 0
    ignored: Counter[str] = field(default_factory=Counter)

    def store(self, rows: Sequence[FileRow], rejects: Rejects) -> None:
        """Store a batch: its rows, the rejected ones and the place where to go on, all or none of it."""
        run = self.run
        problems = [(row, row.problem) for row in rows if row.values is None]
        readable: list[FileRow] = []
        consents: list[list[ImportedConsent]] = []
        for row in rows:
            try:
                if row.values is not None:
                    consents.append(self._consents(row, row.values))
                    readable.append(row)
            except BadMessage as error:
                problems.append((row, str(error)))
        messages = [self._message(row) for row in readable]
        with transaction.atomic():
            result = ingest(messages=messages, received_at=self.at, source=run.source, keep_rejected=False)
            problems += [(readable[index], reason) for index, reason in result.rejected]
            # Of somebody who was erased the file of rejected rows keeps the row's number only.
            problems += [(FileRow(readable[index].number, None), ERASED) for index in result.erased]
            refused = {index for index, _ in result.rejected} | set(result.erased)
            stated = [one for index, row in enumerate(consents) if index not in refused for one in row]
            if stated:
                self.consents += store_consents(stated, file_name=run.file_name)
            rejects.write(sorted(problems, key=lambda pair: pair[0].number))
            moved = ImportRun.objects.filter(pk=run.pk, next_row=run.next_row).update(
                next_row=F("next_row") + len(rows),
                accepted=F("accepted") + result.accepted,
                duplicates=F("duplicates") + result.duplicates,
                rejected=F("rejected") + len(problems),
                rejected_bytes=rejects.size,
            )
            if not moved:
                raise CannotImport(f"another process is importing {run.file_name}")
        run.next_row += len(rows)
        self.unconverted += result.unconverted
        self.ignored.update(result.traits_ignored)

    def _consents(self, row: FileRow, values: Mapping[str, Any]) -> list[ImportedConsent]:
        if self.run.kind != ImportKind.PROFILES:
            return []
        fields = consent_fields(values, self.mapping)
        identity = first_identity(values, self.mapping)
        if not fields or identity is None:
            return []
        return read_consents(
            fields,
            identity=identity,
            row=row.number,
            mapping=self.mapping,
            at=self.at,
            file_name=self.run.file_name,
        )

    def _message(self, row: FileRow) -> dict[str, Any]:
        assert row.values is not None
        message_id = f"{self.sha256[:SHOWN_HASH]}-{row.number}"
        if self.run.kind == ImportKind.EVENTS:
            return event_message(row.values, self.mapping, message_id=message_id)
        return profile_message(row.values, self.mapping, message_id=message_id, at=self.at)


class Rejects:
    """The file of rejected rows; it is made with the first of them."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.size = size

    def write(self, problems: Sequence[tuple[FileRow, str]]) -> None:
        """Append the rows with their reasons; they are on disk when this returns."""
        if not problems:
            return
        text = StringIO()
        writer = csv.writer(text)
        if self.size == 0:
            writer.writerow(("row", "reason", "content"))
        for row, reason in problems:
            content = row.raw if row.values is None else json.dumps(row.values)
            writer.writerow((row.number, reason, safe_cell(content)))
        with self.path.open("ab") as file:
            file.write(text.getvalue().encode("utf-8", errors="replace"))
            file.flush()
            os.fsync(file.fileno())
            self.size = file.tell()


@contextmanager
def reject_file(path: Path, size: int) -> Iterator[Rejects]:
    """Cut the file back to what the stored batches wrote: a batch that was killed left lines behind."""
    if path.exists():
        os.truncate(path, min(size, path.stat().st_size))
        if size == 0:
            path.unlink()
    yield Rejects(path, size)


def safe_cell(text: str) -> str:
    """Return the text so that a spreadsheet does not take it for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r", "\n") else text


def _summary(
    run: ImportRun, rejected_file: Path, *, work: _Import | None = None, was_finished: bool = False
) -> ImportSummary:
    return ImportSummary(
        rows=run.next_row,
        accepted=run.accepted,
        duplicates=run.duplicates,
        rejected=run.rejected,
        rejected_file=rejected_file if run.rejected else None,
        was_finished=was_finished,
        unconverted=0 if work is None else work.unconverted,
        consents=0 if work is None else work.consents,
        ignored=Counter() if work is None else work.ignored,
    )
