"""Erasure and export of one person. Models hold no ids; a forgotten person's events are gone at the next training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from recommender.models import PreparedSlate, Slate
from recommender.reports import ForgetCounts

if TYPE_CHECKING:
    from django.db.models import QuerySet

BATCH = 500
"""Ids in one statement."""


def forget(*, user_id: str) -> ForgetCounts:
    """Deletes every row about this person."""
    return forget_many(user_ids=[user_id])


def forget_many(*, user_ids: Sequence[str]) -> ForgetCounts:
    """`forget` for many people, some hundred to a statement."""
    slates = 0
    for first in range(0, len(user_ids), BATCH):
        some = user_ids[first : first + BATCH]
        slates += Slate.objects.filter(user_id__in=some).delete()[0]
        slates += PreparedSlate.objects.filter(user_id__in=some).delete()[0]
    return ForgetCounts(slates=slates)


def count_older(*, than: int) -> int:
    """How many slates were shown before this moment (µs)."""
    return Slate.objects.filter(at__lt=than).count()


def forget_older(*, than: int) -> int:
    """Deletes the slates that were shown before this moment (µs), some hundred to a statement; returns how many."""
    older, deleted = Slate.objects.filter(at__lt=than).order_by("pk"), 0
    while ids := list(older.values_list("pk", flat=True)[:BATCH]):
        deleted += Slate.objects.filter(pk__in=ids).delete()[0]
    return deleted


def export(*, user_id: str) -> dict[str, Any]:
    """Everything stored about this person, in plain values, oldest first."""
    shown = Slate.objects.filter(user_id=user_id)
    prepared = PreparedSlate.objects.filter(user_id=user_id)
    return {"slates": _plain(shown), "prepared_slates": _plain(prepared)}


def _plain(rows: QuerySet[Any]) -> list[dict[str, Any]]:
    ordered = rows.select_related("strategy_version__strategy").order_by("at", "pk")
    return [
        {
            "recommendation_id": str(row.recommendation_id),
            "at": row.at,
            "strategy": row.strategy_version.strategy.slug,
            "items": row.items,
            "reasons": row.reasons,
            "fallback": row.fallback,
            "context": row.context,
        }
        for row in ordered.iterator(chunk_size=500)
    ]
