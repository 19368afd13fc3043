"""Sources: where events come from."""

from __future__ import annotations

from datetime import datetime

from marketing.choices import SourceKind
from marketing.models import Source


def ensure_source(*, name: str, kind: SourceKind, at: datetime) -> Source:
    """Return the source `name`, made if it is not there yet; an existing one keeps its kind."""
    source, _ = Source.objects.get_or_create(name=name, defaults={"kind": kind, "created_at": at})
    return source
