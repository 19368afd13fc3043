"""Recording what a person agrees to. Rows are only added; the latest one counts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import transaction
from django.db.models import OuterRef, Subquery, Value
from django.db.models.functions import Coalesce

from marketing.choices import LawfulBasis, Purpose
from marketing.models import Consent, Profile
from marketing.services.bulk import insert_new

COLUMNS: Final = (
    "profile_id",
    "purpose",
    "granted",
    "channel",
    "lawful_basis",
    "text_version",
    "text_sha256",
    "source",
    "at",
    "evidence",
)


@dataclass(frozen=True, slots=True)
class Statement:
    """One person's yes or no to one purpose, with the text that was shown; `at` in microseconds."""

    profile_id: int
    purpose: Purpose
    granted: bool
    text_version: str
    text: str
    source: str
    at: int
    lawful_basis: LawfulBasis = LawfulBasis.CONSENT
    evidence: Mapping[str, Any] = field(default_factory=dict)


@transaction.atomic
def record_consents(*, statements: Sequence[Statement]) -> None:
    """Append the statements, and bring the profiles' copies of the e-mail consent up to date."""
    texts = {one.text: hashlib.sha256(one.text.encode()).hexdigest() for one in statements}
    rows = [
        (
            one.profile_id,
            one.purpose.value,
            one.granted,
            "",  # through every channel
            one.lawful_basis.value,
            one.text_version,
            texts[one.text],
            one.source,
            one.at,
            json.dumps(dict(one.evidence)),
        )
        for one in statements
    ]
    insert_new(model=Consent, columns=COLUMNS, rows=rows, key="id")
    touched = {one.profile_id for one in statements if one.purpose == Purpose.MARKETING_EMAIL}
    refresh_marketing_ok(profile_ids=touched)


def record_consent(*, statement: Statement) -> None:
    """Append one statement."""
    record_consents(statements=[statement])


def refresh_marketing_ok(*, profile_ids: Collection[int]) -> None:
    """Copy the current consent to marketing e-mail into these profiles."""
    latest = (
        Consent.objects.filter(profile=OuterRef("pk"), purpose=Purpose.MARKETING_EMAIL)
        .order_by("-at", "-id")
        .values("granted")[:1]
    )
    ids = sorted(profile_ids)
    for start in range(0, len(ids), 1_000):
        Profile.objects.filter(pk__in=ids[start : start + 1_000]).update(
            marketing_ok=Coalesce(Subquery(latest), Value(False))
        )
