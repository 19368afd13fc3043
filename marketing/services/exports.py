"""Members of a segment as a file for another tool: written down in the log of changes, and streamed."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from datetime import datetime
from io import StringIO
from typing import Any, Final

from django.contrib.auth.models import User

from marketing.models import ChangeLog, Identity, Membership, Segment
from marketing.services.imports import safe_cell

CHUNK: Final = 2_000
COLUMNS: Final = ("profile", "user_id", "crm", "email", "country", "language", "entered_at")


def export_members(*, segment_id: int, at: datetime, actor: User | None = None) -> Iterator[str]:
    """Write down who took the members out, and return them as CSV, a chunk of people at a time.

    Cells that a spreadsheet would run as formulas are marked as text. Of a segment for direct marketing, whoever
    objected since the last refresh is left out.
    """
    segment = Segment.objects.get(pk=segment_id)
    ChangeLog.objects.create(
        object_type="segment",
        object_id=str(segment.pk),
        transition="export",
        actor=actor,
        at=at,
        message=segment.name,
        snapshot={"schema": 1, "slug": segment.slug, "members": segment.members_n, "columns": list(COLUMNS)},
    )
    return _lines(segment)


def _lines(segment: Segment) -> Iterator[str]:
    yield _csv([COLUMNS])
    last = 0
    rows = Membership.objects.filter(segment=segment).select_related("profile").order_by("profile_id")
    if segment.is_marketing:
        rows = rows.filter(profile__is_objector=False)
    while some := list(rows.filter(profile_id__gt=last)[:CHUNK]):
        last = some[-1].profile_id
        names: dict[tuple[int, str], str] = {}
        known = Identity.objects.filter(profile__in=[row.profile_id for row in some]).order_by("-pk")
        for profile_id, kind, value in known.values_list("profile_id", "kind", "value"):
            names[profile_id, kind] = value  # the oldest of each kind
        yield _csv(
            (
                row.profile.public_id,
                names.get((row.profile_id, "user_id"), ""),
                names.get((row.profile_id, "crm"), ""),
                row.profile.email or names.get((row.profile_id, "email"), ""),
                row.profile.country,
                row.profile.language,
                row.entered_at.isoformat(),
            )
            for row in some
        )


def _csv(rows: Any) -> str:
    text = StringIO()
    writer = csv.writer(text)
    row: Sequence[Any]
    for row in rows:
        writer.writerow([safe_cell(str(value)) for value in row])
    return text.getvalue()
