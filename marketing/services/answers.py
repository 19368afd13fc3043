"""Answers to people who asked for their data (Art. 15 and 20 GDPR): a file, made by a task, within a month."""

from __future__ import annotations

import csv
import io
import json
import logging
import zipfile
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.db import IntegrityError, transaction

from marketing.choices import RequestStatus
from marketing.models import DataRequest
from marketing.services.imports import safe_cell
from marketing.services.privacy import EXPORTS, export_profile

log = logging.getLogger(__name__)
DUE: Final = timedelta(days=30)
"""GDPR Art. 12(3): one month, of which February has 28 days but thirty is what is promised; CCPA gives 45."""
# What the person gave or what was observed of them (Art. 20); the rest was concluded by us, and is in Art. 15's answer.
PROVIDED: Final = ("profile", "identity", "profiletrait", "event", "archivedevent", "consent")


def ask(*, profile_id: int, at: datetime) -> DataRequest:
    """Ask for everything about a person; one that waits already is returned as it is."""
    waiting = DataRequest.objects.filter(profile=profile_id, status=RequestStatus.PENDING)
    try:
        with transaction.atomic():
            return DataRequest.objects.create(profile_id=profile_id, requested_at=at, due_at=at + DUE)
    except IntegrityError:
        return waiting.get()


def answer_due(*, at: datetime) -> int:
    """Answer every request that waits; return how many were answered. A failure waits for a person, and is told."""
    answered = 0
    waiting = DataRequest.objects.filter(status=RequestStatus.PENDING).order_by("due_at", "pk")
    for pk in list(waiting.values_list("pk", flat=True)):
        row = DataRequest.objects.filter(pk=pk, status=RequestStatus.PENDING).first()
        if row is None:
            continue
        try:
            _write(path_of(row), export_profile(profile_id=row.profile_id))
        except Exception as error:
            log.exception("request for data %s could not be answered", pk)
            state: dict[str, Any] = {"status": RequestStatus.FAILED, "failure": type(error).__name__}
        else:
            state = {"status": RequestStatus.READY, "failure": ""}
            answered += 1
        DataRequest.objects.filter(pk=pk).update(answered_at=at, **state)
    return answered


def path_of(request: DataRequest) -> Path:
    """Return where the answer's file is, or will be."""
    return Path(settings.DATA_DIR) / EXPORTS / f"{request.token}.zip"


def _write(path: Path, data: Mapping[str, Any]) -> None:
    """Write `everything.json`, `provided.json` and a CSV for each table; whole, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".part")
    scratch.touch(mode=0o600)
    with zipfile.ZipFile(scratch, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("everything.json", _json(data))
        archive.writestr("provided.json", _json({name: data[name] for name in PROVIDED}))
        for name, rows in data.items():
            if rows:
                folder = "provided" if name in PROVIDED else "concluded"
                archive.writestr(f"{folder}/{name}.csv", _csv(rows))
    scratch.replace(path)


def _json(data: Any) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False)


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(names)
    for row in rows:
        writer.writerow([_cell(row.get(name)) for name in names])
    return text.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return safe_cell(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
