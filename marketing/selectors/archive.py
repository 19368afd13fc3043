"""Reads of the archive of events."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from marketing.models import ArchivedPart
from marketing.segmentation.clock import from_micros

FOLDER = "archive"


def archive_folder() -> Path:
    """Where the files of the archive lie."""
    return Path(settings.DATA_DIR) / FOLDER


def archived_paths(*, since: int) -> list[Path]:
    """The files that hold events of `since` (µs) or later."""
    rows = ArchivedPart.objects.filter(day__gte=from_micros(since).date()).order_by("day", "pk")
    return [archive_folder() / path for path in rows.values_list("path", flat=True)]
