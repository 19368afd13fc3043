"""Reads of the archive of events."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from django.conf import settings

from marketing.models import ArchivedMessage, ArchivedPart, Source
from marketing.segmentation.clock import from_micros
from marketing.services.bulk import select_by

FOLDER = "archive"


def archive_folder() -> Path:
    """Where the files of the archive lie."""
    return Path(settings.DATA_DIR) / FOLDER


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


def archived_paths(*, since: int) -> list[Path]:
    """The files that hold events of `since` (µs) or later."""
    rows = ArchivedPart.objects.filter(day__gte=from_micros(since).date()).order_by("day", "pk")
    return [archive_folder() / path for path in rows.values_list("path", flat=True)]
