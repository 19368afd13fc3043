"""Events that no open analysis and no segment looks at any more: out of the database into Parquet, and back.

A day's file is complete on disk before the database knows of it, and the database learns of it in the transaction that
deletes the rows: whatever is killed when, each event is in exactly one place. The ids of archived messages stay, so
that one sent again is a duplicate still; what each identity did stays as counts.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from django.db import connection, transaction
from django.db.models import Min

from experiments.selectors import open_facts_since
from marketing.choices import MembershipCause
from marketing.errors import CannotArchive
from marketing.models import (
    ArchivedActivity,
    ArchivedMessage,
    ArchivedPart,
    Event,
    EventType,
    Segment,
    Source,
    TraitRun,
)
from marketing.segmentation.clock import DAY, EPOCH, from_micros, to_micros
from marketing.segmentation.rules import EventCount, EventTime, parse, walk
from marketing.selectors.archive import archive_folder
from marketing.services.bulk import is_postgres, select_by
from marketing.services.changes import mark_found
from marketing.services.portrait.plan import load_plan

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK: Final = 50_000
COLUMNS: Final = {
    "id": "int64",
    "source_id": "int64",
    "message_id": "string",
    "identity_id": "int64",
    "type_id": "int64",
    "at": "int64",
    "item": "string",
    "value": "int64",
    "currency": "string",
    "order_id": "string",
    "recommendation_id": "string",
    "props": "string",
}
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class ArchiveResult:
    """How many events were moved, in how many files, and the first day that stays."""

    events_n: int
    parts_n: int
    before: date


def archive_events(*, at: datetime, keep_days: int, progress: Progress | None = None) -> ArchiveResult:
    """Move every whole day (UTC) that is older than `keep_days` and that nothing open needs."""
    before = _first_day_kept(at, keep_days)
    _remove_orphans()
    days = _days_before(before)
    events_n = parts_n = 0
    for number, day in enumerate(days):
        if progress:
            progress(f"{day}", number, len(days))
        moved = _archive_day(day, at)
        events_n += moved
        parts_n += 1 if moved else 0
    return ArchiveResult(events_n=events_n, parts_n=parts_n, before=before)


def restore_events(*, first: date, last: date, progress: Progress | None = None) -> int:
    """Bring the events of these days back into the database; return how many."""
    parts = list(ArchivedPart.objects.filter(day__gte=first, day__lte=last).order_by("day", "pk"))
    restored = 0
    for number, part in enumerate(parts):
        if progress:
            progress(part.path, number, len(parts))
        restored += _restore(part)
    return restored


def archived_messages(*, source: Source, message_ids: Collection[str]) -> set[str]:
    """Those of the messages that were archived: stored once, and duplicates for ever."""
    if not message_ids or not ArchivedMessage.objects.filter(source=source).exists():
        return set()
    rows = select_by(
        sql="SELECT message_id FROM marketing_archivedmessage WHERE source_id = %s AND message_id IN {values}",
        values=message_ids,
        params=[source.pk],
    )
    return {message_id for (message_id,) in rows}


def forget_archived(*, identity_ids: Sequence[int]) -> int:
    """Take these identities' events out of every file; return how many there were. Their messages' ids stay."""
    import pyarrow.compute as pc

    ids = sorted(identity_ids)
    forgotten = 0
    for part in ArchivedPart.objects.filter(activities__identity__in=ids).distinct().order_by("pk"):
        table = _read(part)
        kept = table.filter(pc.invert(pc.is_in(table.column("identity_id"), value_set=_array(ids))))
        forgotten += table.num_rows - kept.num_rows
        path = _new_path(part.day)
        digest = _write(path, iter(kept.to_batches()), kept.schema)
        old = archive_folder() / part.path
        relative = str(path.relative_to(archive_folder()))
        ArchivedPart.objects.filter(pk=part.pk).update(path=relative, rows_n=kept.num_rows, sha256=digest)
        transaction.on_commit(partial(old.unlink, missing_ok=True))
    ArchivedActivity.objects.filter(identity__in=ids).delete()
    return forgotten


def export_archived(*, identity_ids: Sequence[int]) -> list[dict[str, Any]]:
    """Every archived event of these identities, ready for JSON."""
    import pyarrow.compute as pc

    ids = sorted(identity_ids)
    names = dict(EventType.objects.values_list("pk", "name"))
    found = []
    for part in ArchivedPart.objects.filter(activities__identity__in=ids).distinct().order_by("day", "pk"):
        table = _read(part)
        rows = table.filter(pc.is_in(table.column("identity_id"), value_set=_array(ids))).to_pylist()
        found += [{**row, "type__name": names.get(row["type_id"], "")} for row in rows]
    return found


def _first_day_kept(at: datetime, keep_days: int) -> date:
    """The first day (UTC) that must stay, for the people who asked and for everything that still looks at events."""
    bounds = [to_micros(at) - keep_days * DAY]
    since = open_facts_since()
    if since is not None:
        bounds.append(since)
    bounds += [to_micros(at) - round(days * DAY) for days in _days_of_segments()]
    bounds += _bound_of_traits(at)
    return from_micros(min(bounds)).date()


def _bound_of_traits(at: datetime) -> list[int]:
    """How far back computed traits look: from their last calculation, so that what left a window since is noticed."""
    days = load_plan().most_days
    if days is None:
        return []
    last = TraitRun.objects.exclude(finished_at=None).order_by("-pk").values_list("at", flat=True).first()
    return [to_micros(at if last is None else min(at, last)) - days * DAY]


def _days_of_segments() -> Iterator[float]:
    """How far back each segment's rule looks into the events."""
    for segment in Segment.objects.filter(archived_at=None).exclude(version=None).select_related("version"):
        assert segment.version is not None  # excluded above
        for node in walk(parse(segment.version.rule)):
            if isinstance(node, EventTime):
                # Longer ago is asked of the whole past, and needs the events if they must have a property.
                days = node.days if node.op == "within_days" and node.end == "last" else None
            elif isinstance(node, EventCount):
                days = node.days
                if days is None and node.until_days is not None:
                    raise CannotArchive(_needs_all(segment.slug))
            else:
                continue
            if days is not None:
                yield days
            elif node.where:
                raise CannotArchive(_needs_all(segment.slug))


def _needs_all(slug: str) -> str:
    return (
        f"segment {slug} counts events with conditions over all time, which needs every event: "
        "give that condition a number of days, or archive the segment"
    )


def _days_before(before: date) -> list[date]:
    first = Event.objects.aggregate(first=Min("at"))["first"]
    if first is None:
        return []
    day, days = from_micros(first).date(), []
    while day < before:
        days.append(day)
        day += timedelta(days=1)
    return days


def _archive_day(day: date, at: datetime) -> int:
    """Move one day; return the number of its events, 0 if it has none."""
    path = _new_path(day)
    ids: list[tuple[int, int, str]] = []
    digest = _write(path, _batches(day, ids), _schema())
    if not ids:
        path.unlink()
        return 0
    try:
        _take_out(day, path, digest, ids, at)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return len(ids)


@transaction.atomic
def _take_out(day: date, path: Path, digest: str, ids: Sequence[tuple[int, int, str]], at: datetime) -> None:
    """Name the file, keep the ledger and the counts, and delete exactly the rows that were written."""
    relative = str(path.relative_to(archive_folder()))
    part = ArchivedPart.objects.create(day=day, path=relative, rows_n=len(ids), sha256=digest, archived_at=at)
    with connection.cursor() as cursor:
        rows = [(part.pk, *row) for row in ids]
        columns = "part_id, event_id, source_id, message_id"
        if is_postgres():
            with cursor.copy(f"COPY marketing_archivedmessage ({columns}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        else:
            cursor.executemany(f"INSERT INTO marketing_archivedmessage ({columns}) VALUES (%s, %s, %s, %s)", rows)  # noqa: S608 - constants
        mine = "id IN (SELECT event_id FROM marketing_archivedmessage WHERE part_id = %s)"
        cursor.execute(
            "INSERT INTO marketing_archivedactivity (part_id, identity_id, type_id, n, first_at, last_at, total) "  # noqa: S608 - constants
            "SELECT %s, identity_id, type_id, count(*), min(at), max(at), COALESCE(sum(value), 0) "
            f"FROM marketing_event WHERE {mine} GROUP BY identity_id, type_id",
            [part.pk, part.pk],
        )
        cursor.execute(f"DELETE FROM marketing_event WHERE {mine}", [part.pk])  # noqa: S608 - constants
        if cursor.rowcount != len(ids):
            # Somebody was erased between the reading and now: the file would still hold that person.
            raise CannotArchive(f"{len(ids) - cursor.rowcount} events of {day} were erased meanwhile; try again")


@transaction.atomic
def _restore(part: ArchivedPart) -> int:
    table = _read(part)
    names = list(COLUMNS)
    places = ", ".join(["%s"] * len(names))
    restored = 0
    with connection.cursor() as cursor:
        for batch in table.to_batches(max_chunksize=CHUNK):
            rows = list(zip(*(column.to_pylist() for column in batch.columns), strict=True))
            cursor.execute("CREATE TEMP TABLE IF NOT EXISTS stage_restore AS SELECT * FROM marketing_event WHERE 1 = 0")
            cursor.execute("DELETE FROM stage_restore")
            cursor.executemany(f"INSERT INTO stage_restore ({', '.join(names)}) VALUES ({places})", rows)  # noqa: S608 - constants
            # Whose they are is what their identity says now: people may have been joined meanwhile.
            listed = ", ".join(f"s.{name}" for name in names)
            cursor.execute(
                f"INSERT INTO marketing_event ({', '.join(names)}, profile_id) SELECT {listed}, i.profile_id "  # noqa: S608 - constants
                "FROM stage_restore s JOIN marketing_identity i ON i.id = s.identity_id"
            )
            restored += cursor.rowcount
            # A segment made since then may look back as far as this.
            mark_found(
                query="SELECT DISTINCT i.profile_id AS id FROM stage_restore s JOIN marketing_identity i "
                "ON i.id = s.identity_id",
                params=(),
                cause=MembershipCause.EVENT,
            )
        cursor.execute("DROP TABLE IF EXISTS stage_restore")
    path = archive_folder() / part.path
    part.delete()
    transaction.on_commit(lambda: path.unlink(missing_ok=True))
    return restored


def _batches(day: date, ids: list[tuple[int, int, str]]) -> Iterator[pa.RecordBatch]:
    """The events of a day, in chunks; whoever consumes them has their ids in `ids` afterwards."""
    import pyarrow as pa

    begin = (datetime(day.year, day.month, day.day, tzinfo=EPOCH.tzinfo) - EPOCH) // timedelta(microseconds=1)
    with connection.chunked_cursor() as cursor:
        cursor.execute(
            f"SELECT {', '.join(COLUMNS)} FROM marketing_event "  # noqa: S608 - constants
            "WHERE type_id IN (SELECT id FROM marketing_eventtype) AND at >= %s AND at < %s ORDER BY id",
            [begin, begin + DAY],
        )
        while rows := cursor.fetchmany(CHUNK):
            ids += [(row[0], row[1], row[2]) for row in rows]
            columns = [
                pa.array(values, type=kind)
                for values, kind in zip(zip(*rows, strict=True), _schema().types, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=_schema())


def _schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema([(name, pa.type_for_alias(kind)) for name, kind in COLUMNS.items()])


def _array(values: Sequence[int]) -> pa.Array:
    import pyarrow as pa

    return pa.array(values, type=pa.int64())


def _new_path(day: date) -> Path:
    folder = archive_folder() / f"day={day.isoformat()}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{secrets.token_hex(8)}.parquet"


def _write(path: Path, batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> str:
    """Write a file that is on disk when this returns; its SHA-256."""
    import pyarrow.parquet as pq

    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(part: ArchivedPart) -> pa.Table:
    """The rows of a part; CannotArchive if the file is missing or not the one that was written."""
    import pyarrow.parquet as pq

    path = archive_folder() / part.path
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CannotArchive(f"the archive's file {part.path} cannot be read: {error.strerror}") from error
    if digest != part.sha256:
        raise CannotArchive(f"the archive's file {part.path} has changed since it was written")
    return pq.ParquetFile(path).read()


def _remove_orphans() -> None:
    """Delete files that the database does not know: those of a run that was killed."""
    known = set(ArchivedPart.objects.values_list("path", flat=True))
    for path in archive_folder().glob("day=*/*.parquet"):
        if str(path.relative_to(archive_folder())) not in known:
            path.unlink(missing_ok=True)
