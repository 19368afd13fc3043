"""Recording what a person agrees to. Rows are only added; the latest one counts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import transaction
from django.db.models import OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce

from experiments.services.dirty import mark_dirty
from marketing.choices import ConsentChannel, LawfulBasis, MembershipCause, Purpose
from marketing.models import Consent, ConsentText, Profile
from marketing.services.bulk import insert_new, select_by
from marketing.services.changes import mark_changed
from marketing.services.news import forget_portrait, note_news

COLUMNS: Final = (
    "profile_id",
    "purpose",
    "channel",
    "granted",
    "lawful_basis",
    "text_version",
    "text_sha256",
    "source",
    "at",
    "evidence",
)
TEXT_COLUMNS: Final = ("sha256", "version", "text", "first_at")
# The channel through which a purpose is pursued, where it is one.
CHANNELS: Final = {Purpose.MARKETING_EMAIL: ConsentChannel.EMAIL}
# What `Profile` keeps a copy of.
COPIED: Final = (Purpose.MARKETING_EMAIL, Purpose.OBJECTION)
# What an objection to direct marketing stops besides: profiling for it, and everything chosen by it (Art. 21(2) GDPR).
STOPPED_BY_OBJECTION: Final = (Purpose.MARKETING_EMAIL, Purpose.PERSONALIZATION, Purpose.PROFILING)
OBJECTION_VERSION: Final = "objection-2026-11"
OBJECTION_TEXT: Final = "I object to the use of my data for direct marketing, and to profiling for it."


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
    """Append the statements, keep their words, and bring the profiles' copies up to date."""
    texts = {one.text: hashlib.sha256(one.text.encode()).hexdigest() for one in statements}
    rows = [
        (
            one.profile_id,
            one.purpose.value,
            CHANNELS[one.purpose].value if one.purpose in CHANNELS else "",
            one.granted,
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
    _keep_texts(statements, texts)
    touched = {one.profile_id for one in statements if one.purpose in COPIED}
    refresh_marketing_ok(profile_ids=touched)
    mark_changed(profile_ids={one.profile_id for one in statements}, cause=MembershipCause.CONSENT)
    _mark_measured(statements)
    _mark_profiled(statements)


def record_consent(*, statement: Statement) -> None:
    """Append one statement."""
    record_consents(statements=[statement])


@transaction.atomic
def object_to_marketing(*, profile_id: int, source: str, at: int, objects: bool = True) -> None:
    """Record an objection to direct marketing, or that it is taken back; `at` in microseconds.

    An objection also says no to what it stops, so that whatever looks at a single purpose finds the no; taking it back
    says yes to nothing.
    """
    state = dict(
        Consent.objects.filter(profile=profile_id, purpose__in=STOPPED_BY_OBJECTION)
        .order_by("at", "id")
        .values_list("purpose", "granted")
    )
    said: list[tuple[Purpose, bool]] = [(Purpose.OBJECTION, objects)]
    if objects:
        said += [(purpose, False) for purpose in STOPPED_BY_OBJECTION if state.get(purpose.value) is not False]
    record_consents(
        statements=[
            Statement(
                profile_id=profile_id,
                purpose=purpose,
                granted=granted,
                text_version=OBJECTION_VERSION,
                text=OBJECTION_TEXT,
                source=source,
                at=at,
                lawful_basis=LawfulBasis.LEGITIMATE_INTEREST,
            )
            for purpose, granted in said
        ]
    )


def refresh_marketing_ok(*, profile_ids: Collection[int]) -> None:
    """Copy into these profiles whether they object, and whether they may be written to; who objects may not."""
    objects = Coalesce(Subquery(_latest(Purpose.OBJECTION)), Value(False))
    agrees = Coalesce(Subquery(_latest(Purpose.MARKETING_EMAIL)), Value(False))
    ids = sorted(profile_ids)
    for start in range(0, len(ids), 1_000):
        some = Profile.objects.filter(pk__in=ids[start : start + 1_000])
        some.update(is_objector=objects, marketing_ok=agrees)
        some.filter(is_objector=True, marketing_ok=True).update(marketing_ok=False)


def _latest(purpose: Purpose) -> QuerySet[Consent, bool]:
    words = Consent.objects.filter(profile=OuterRef("pk"), purpose=purpose)
    return words.order_by("-at", "-id").values_list("granted", flat=True)[:1]


def _mark_profiled(statements: Sequence[Statement]) -> None:
    """Drop at once what was computed of people who object to profiling; count those who allow it (again)."""
    about = [one for one in statements if one.purpose in (Purpose.PROFILING, Purpose.OBJECTION)]
    if not about:
        return
    note_news(profile_ids={one.profile_id for one in about})
    refused = {one.profile_id for one in about if one.granted == (one.purpose == Purpose.OBJECTION)}
    # A statement may be older than the one that counts: the next calculation gives back what was dropped for nothing.
    forget_portrait(profile_ids=refused)


def _mark_measured(statements: Sequence[Statement]) -> None:
    """Have experiments look again at whom they may measure: a withdrawal freezes what somebody contributed."""
    said = [one for one in statements if one.purpose == Purpose.ANALYTICS]
    units = {str(one.profile_id) for one in said if not one.granted}
    rows = select_by(
        sql="SELECT DISTINCT profile_id FROM marketing_consent WHERE purpose = %s AND NOT granted "
        "AND profile_id IN {values}",
        values={one.profile_id for one in said if one.granted},
        params=[Purpose.ANALYTICS.value],
    )
    mark_dirty(units=units | {str(profile_id) for (profile_id,) in rows})


def _keep_texts(statements: Sequence[Statement], texts: Mapping[str, str]) -> None:
    """Store the words that nobody was shown before; imports and buttons repeat a handful of texts a million times."""
    by_hash = {texts[one.text]: one for one in reversed(statements)}
    known = set(ConsentText.objects.filter(sha256__in=list(by_hash)).values_list("sha256", flat=True))
    new = [(sha256, one.text_version, one.text, one.at) for sha256, one in by_hash.items() if sha256 not in known]
    insert_new(model=ConsentText, columns=TEXT_COLUMNS, rows=sorted(new), key="sha256")
