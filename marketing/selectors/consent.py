"""What a person agreed to, now and at any moment before."""

from __future__ import annotations

from django.db.models import OuterRef, Subquery

from marketing.choices import Purpose
from marketing.models import Consent


def consent_state(*, profile_id: int) -> dict[str, Consent]:
    """Return the latest statement per purpose; a purpose without one is missing."""
    # In the order of their times, so that the last one of a purpose stays in the dict. One query.
    rows = Consent.objects.filter(profile=profile_id).order_by("at", "id")
    return {row.purpose: row for row in rows}


def has_consent(*, profile_id: int, purpose: Purpose | str, before: int | None = None) -> bool:
    """Tell whether the latest statement (before that moment, in microseconds) grants the purpose."""
    rows = Consent.objects.filter(profile=profile_id, purpose=purpose)
    if before is not None:
        rows = rows.filter(at__lt=before)
    return bool(rows.order_by("-at", "-id").values_list("granted", flat=True).first())


def anybody_agreed(*, purpose: Purpose) -> bool:
    """Tell whether there is a person whose latest statement grants the purpose."""
    newer = Consent.objects.filter(profile=OuterRef("profile"), purpose=purpose).order_by("-at", "-id").values("pk")[:1]
    return Consent.objects.filter(purpose=purpose, granted=True, pk=Subquery(newer)).exists()


def consent_history(*, profile_id: int) -> list[Consent]:
    """Return every statement of a person, newest first."""
    return list(Consent.objects.filter(profile=profile_id).order_by("-at", "-id"))
