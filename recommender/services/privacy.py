"""Erasure and export of one person. Models hold no ids; a forgotten person's events are gone at the next training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recommender.models import Slate
from recommender.reports import ForgetCounts

BATCH = 500
"""Ids in one statement."""


def forget(*, user_id: str) -> ForgetCounts:
    """Deletes every row about this person."""
    return ForgetCounts(slates=Slate.objects.filter(user_id=user_id).delete()[0])


def forget_many(*, user_ids: Sequence[str]) -> ForgetCounts:
    """`forget` for many people, some hundred to a statement."""
    slates = 0
    for first in range(0, len(user_ids), BATCH):
        slates += Slate.objects.filter(user_id__in=user_ids[first : first + BATCH]).delete()[0]
    return ForgetCounts(slates=slates)


def export(*, user_id: str) -> dict[str, Any]:
    """Everything stored about this person, in plain values, oldest first."""
    rows = Slate.objects.filter(user_id=user_id).select_related("strategy_version__strategy").order_by("at", "pk")
    return {
        "slates": [
            {
                "recommendation_id": str(row.recommendation_id),
                "at": row.at,
                "strategy": row.strategy_version.strategy.slug,
                "items": row.items,
                "reasons": row.reasons,
                "fallback": row.fallback,
                "context": row.context,
            }
            for row in rows.iterator(chunk_size=500)
        ]
    }
