"""From the spool into the database, each line exactly once: its effects and the offset move in one transaction."""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import orjson
from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction

from marketing.models import DeadLetter, Source, SpoolOffset
from marketing.services.bulk import uncollected
from marketing.services.ingestion import ingest
from marketing.spooling import reader

CHUNK_BYTES: Final = 4 * 1024 * 1024  # about 10,000 messages: a transaction of half a second
KEEP_OFFSETS: Final = timedelta(days=7)  # of segments that are gone, in case their removal was cut short
LOCK_FILE: Final = "drain.lock"
MICROSECONDS: Final = 1_000_000
log = logging.getLogger(__name__)


@dataclass
class DrainResult:
    """What one pass did, in messages and segments."""

    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    segments_removed: int = 0


@dataclass
class _Batch:
    messages: list[Any] = field(default_factory=list)
    received: list[datetime] = field(default_factory=list)


class BadLine(ValueError):
    """The line is no envelope of collect's: a torn or garbled segment."""


def drain(*, at: datetime, folder: Path | None = None) -> DrainResult:
    """Move everything that is in this host's spool into the database; a second drainer at once does nothing."""
    folder = folder or Path(settings.DATA_DIR) / "spool"
    result = DrainResult()
    with _only_drainer(folder) as is_ours:
        if is_ours:
            for segment in reader.segments(folder):
                _drain_segment(segment, at=at, result=result)
            SpoolOffset.objects.filter(updated_at__lt=at - KEEP_OFFSETS).delete()
    return result


@contextmanager
def _only_drainer(folder: Path) -> Iterator[bool]:
    descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(descriptor)


def _drain_segment(segment: Path, *, at: datetime, result: DrainResult) -> None:
    is_orphaned = reader.is_orphaned(segment)  # asked before reading: what is appended later is read by the next pass
    while _drain_chunk(segment, at=at, result=result):
        pass
    if is_orphaned:
        segment.unlink()
        SpoolOffset.objects.filter(segment=segment.name).delete()
        result.segments_removed += 1


@uncollected()
def _drain_chunk(segment: Path, *, at: datetime, result: DrainResult) -> bool:
    """Store the next lines; return whether there were any."""
    with transaction.atomic():
        SpoolOffset.objects.get_or_create(segment=segment.name, defaults={"updated_at": at})
        row = SpoolOffset.objects.select_for_update().get(segment=segment.name)
        chunk = reader.read(segment, offset=row.offset, most_bytes=CHUNK_BYTES)
        if not chunk.lines:
            return False
        _store(chunk.lines, at=at, result=result)
        SpoolOffset.objects.filter(pk=row.pk).update(offset=chunk.end, updated_at=at)
    return True


def _store(lines: tuple[bytes, ...], *, at: datetime, result: DrainResult) -> None:
    """Store the lines at once; where that fails for their content, one by one, so that one bad line stands alone."""
    try:
        with transaction.atomic():
            _store_together(lines, at=at, result=result)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:  # noqa: BLE001  (whatever one line does, it must not stop the others for ever)
        if len(lines) == 1:
            _bury(lines[0], reason=f"{type(error).__name__}: {error}", at=at, result=result)
            return
        log.warning("a chunk of %d lines could not be stored at once: %s", len(lines), type(error).__name__)
        for line in lines:
            _store((line,), at=at, result=result)


def store_line(line: bytes, *, at: datetime) -> None:
    """Store one line that had been put aside; raise `BadLine` if it still is none."""
    with transaction.atomic():
        _store_together((line,), at=at, result=DrainResult())


def _store_together(lines: tuple[bytes, ...], *, at: datetime, result: DrainResult) -> None:
    batches: dict[int, _Batch] = defaultdict(_Batch)
    for line in lines:
        _unpack(line, batches)
    sources = Source.objects.in_bulk(batches.keys())
    for source_id, batch in batches.items():
        if source_id not in sources:
            raise BadLine(f"source {source_id} does not exist")
        outcome = ingest(messages=batch.messages, received_at=batch.received, source=sources[source_id])
        result.accepted += outcome.accepted
        result.duplicates += outcome.duplicates
        result.rejected += len(outcome.rejected)


def _unpack(line: bytes, batches: dict[int, _Batch]) -> None:
    try:
        envelope = _decoded(line)
        received_at = datetime.fromtimestamp(envelope["at"] / MICROSECONDS, tz=UTC)
        body, kind, batch = envelope["body"], envelope["kind"], batches[int(envelope["source"])]
        messages = [body | {"type": kind}] if kind else body["batch"]
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise BadLine(f"not a line of the spool: {error}") from error
    for index, message in enumerate(messages):
        batch.messages.append(_completed(message, body=body, fallback_id=f"{envelope['id']}-{index}"))
        batch.received.append(received_at)


def _decoded(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except ValueError:
        return json.loads(line)  # NaN, 1e400 or half an emoji: what is wrong is said message by message


def _completed(message: Any, *, body: dict[str, Any], fallback_id: str) -> Any:
    """Return the message with what its batch says for all: when it was sent, and an id where it has none."""
    if not isinstance(message, dict):
        return message
    message.setdefault("messageId", fallback_id)
    if body.get("sentAt") is not None:
        message.setdefault("sentAt", body["sentAt"])
    return message


def _bury(line: bytes, *, reason: str, at: datetime, result: DrainResult) -> None:
    """Keep a line that cannot be stored, with its reason; whose it was cannot be told any more."""
    text = line.decode("utf-8", errors="replace").replace("\x00", "\ufffd")
    DeadLetter.objects.create(source=None, payload=text, reason=reason[:200], at=at)
    result.rejected += 1


def lag(*, at: datetime, folder: Path | None = None) -> float:
    """Return the age in seconds of the oldest line that is not in the database yet, 0 where there is none."""
    folder = folder or Path(settings.DATA_DIR) / "spool"
    offsets = dict(SpoolOffset.objects.values_list("segment", "offset"))
    oldest = 0.0
    for segment in reader.segments(folder):
        chunk = reader.read(segment, offset=offsets.get(segment.name, 0), most_bytes=4096)
        if chunk.lines:
            try:
                oldest = max(oldest, at.timestamp() - json.loads(chunk.lines[0])["at"] / MICROSECONDS)
            except (ValueError, KeyError, TypeError):
                continue
    return oldest
