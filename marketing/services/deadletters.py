"""Messages that could not be stored, tried once more: after a rate was entered, or the code was mended."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from marketing.models import DeadLetter
from marketing.services.drain import store_line
from marketing.services.ingestion import ingest


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """How many letters are stored now, and how many still cannot be."""

    stored: int
    still_dead: int


def replay(*, letter_ids: Collection[int], at: datetime) -> ReplayResult:
    """Take letters in again as of the moment they arrived; one that fails again keeps the newer reason."""
    stored = 0
    letters = DeadLetter.objects.filter(pk__in=letter_ids, replayed_at=None).select_related("source").order_by("pk")
    total = 0
    for letter in letters:
        total += 1
        stored += _replay_one(letter, at)
    return ReplayResult(stored=stored, still_dead=total - stored)


@transaction.atomic
def _replay_one(letter: DeadLetter, at: datetime) -> bool:
    if letter.source is None:
        return _replay_line(letter, at)
    message: Any
    try:
        message = json.loads(letter.payload)
    except ValueError:
        return False  # it was cut to what is kept of a payload
    result = ingest(messages=[message], received_at=letter.at, source=letter.source, keep_rejected=False)
    if result.rejected:
        DeadLetter.objects.filter(pk=letter.pk).update(reason=result.rejected[0][1][:200])
        return False
    DeadLetter.objects.filter(pk=letter.pk).update(replayed_at=at)
    return True


def _replay_line(letter: DeadLetter, at: datetime) -> bool:
    """Store a whole line of the spool; messages of it that fail become letters of their own."""
    try:
        store_line(letter.payload.encode(), at=at)
    except ValueError as error:
        DeadLetter.objects.filter(pk=letter.pk).update(reason=f"{type(error).__name__}: {error}"[:200])
        return False
    DeadLetter.objects.filter(pk=letter.pk).update(replayed_at=at)
    return True
