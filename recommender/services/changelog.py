"""The one place that writes change-log rows; called inside the transition's transaction."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from recommender.models import ChangeLog

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def record_change(
    *,
    object_type: str,
    object_id: str,
    transition: str,
    actor: User | None,
    at: datetime,
    message: str = "",
    snapshot: Mapping[str, Any] | None = None,
) -> None:
    """Appends one row."""
    ChangeLog.objects.create(
        object_type=object_type,
        object_id=object_id,
        transition=transition,
        actor=actor,
        at=at,
        message=message,
        snapshot={"schema": 1, **(snapshot or {})},
    )
