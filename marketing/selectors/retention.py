"""What stands of retention and of people's requests: limits, the last proofs, what is due."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from marketing.choices import DataClass, NoticeStatus, RequestStatus
from marketing.models import DataRequest, ErasureNotice, RetentionProof, RetentionRule

STALE_AFTER: Final = timedelta(hours=50)
"""The proof is nightly: two missed nights are no accident."""
SHOWN: Final = 50


@dataclass(frozen=True, slots=True)
class Limit:
    """One class of data with its limit and its last proof."""

    name: str
    days: int | None
    proof: RetentionProof | None
    is_overdue: bool


def limits(*, at: datetime) -> list[Limit]:
    """Return every class; overdue is one of which something older is left, or that nobody looked at for two nights."""
    rules = dict(RetentionRule.objects.values_list("data_class", "days"))
    found = []
    for data_class in DataClass:
        proof = RetentionProof.objects.filter(data_class=data_class).order_by("-at", "-pk").first()
        days = rules.get(data_class.value)
        is_overdue = days is not None and proof is not None and (proof.older_n > 0 or at - proof.at > STALE_AFTER)
        found.append(Limit(name=str(data_class.label), days=days, proof=proof, is_overdue=is_overdue))
    return found


def overdue(*, at: datetime) -> list[str]:
    """Return the classes of data that are kept longer than their limit, or unproved, for `/healthz`."""
    newest: dict[str, RetentionProof] = {}
    for proof in RetentionProof.objects.filter(at__gt=at - 30 * timedelta(days=1)).order_by("at", "pk"):
        newest[proof.data_class] = proof
    limited = set(RetentionRule.objects.exclude(days=None).values_list("data_class", flat=True))
    return sorted(
        name for name, proof in newest.items() if name in limited and (proof.older_n or at - proof.at > STALE_AFTER)
    )


def open_requests() -> list[DataRequest]:
    """Return the requests that wait or failed, the most urgent first."""
    rows = DataRequest.objects.exclude(status=RequestStatus.READY).select_related("profile")
    return list(rows.order_by("due_at", "pk")[:SHOWN])


def failed_notices() -> list[ErasureNotice]:
    """Return the notices of erasures that never arrived."""
    rows = ErasureNotice.objects.filter(status=NoticeStatus.FAILED).select_related("recipient")
    return list(rows.order_by("-erased_at", "-pk")[:SHOWN])
