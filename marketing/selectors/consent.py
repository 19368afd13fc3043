"""What a person agreed to, now and at any moment before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db.models import OuterRef, Subquery

from marketing.choices import Purpose, RequestStatus
from marketing.models import Consent, ConsentText, DataRequest
from marketing.segmentation.clock import from_micros

UNCONFIRMED: Final = "unconfirmed"
"""In the evidence of a statement: a yes that counts as a no until its link was followed."""


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


def unconfirmed(*, profile_id: int) -> Consent | None:
    """Return the yes to marketing e-mail that waits for its confirmation, if nothing was said since: a no so far."""
    rows = Consent.objects.filter(profile=profile_id, purpose=Purpose.MARKETING_EMAIL)
    newest = rows.order_by("-at", "-id").first()
    return newest if newest is not None and not newest.granted and newest.evidence.get(UNCONFIRMED) else None


def anybody_agreed(*, purpose: Purpose) -> bool:
    """Tell whether there is a person whose latest statement grants the purpose."""
    newer = Consent.objects.filter(profile=OuterRef("profile"), purpose=purpose).order_by("-at", "-id").values("pk")[:1]
    return Consent.objects.filter(purpose=purpose, granted=True, pk=Subquery(newer)).exists()


@dataclass(frozen=True, slots=True)
class Said:
    """One statement with the words that it answered; `words` is empty where they were not kept."""

    statement: Consent
    at: datetime
    words: str


def said(*, profile_id: int) -> list[Said]:
    """Return every statement of a person with its words, newest first, in two queries."""
    rows = consent_history(profile_id=profile_id)
    texts = dict(ConsentText.objects.filter(sha256__in={row.text_sha256 for row in rows}).values_list("sha256", "text"))
    return [Said(row, from_micros(row.at), texts.get(row.text_sha256, "")) for row in rows]


def data_requests(*, profile_id: int) -> list[DataRequest]:
    """Return a person's requests for their data, newest first."""
    return list(DataRequest.objects.filter(profile=profile_id).order_by("-requested_at", "-pk"))


def data_request(*, profile_id: int, token: str) -> DataRequest | None:
    """Return the answered request of this name, if it is the person's."""
    return DataRequest.objects.filter(profile=profile_id, token=token, status=RequestStatus.READY).first()


def consent_history(*, profile_id: int) -> list[Consent]:
    """Return every statement of a person, newest first."""
    return list(Consent.objects.filter(profile=profile_id).order_by("-at", "-id"))
