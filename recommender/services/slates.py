"""Storing what was shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction

from recommender.models import Slate

if TYPE_CHECKING:
    from collections.abc import Iterable

    from recommender.reports import Recommendation

BATCH = 500


def store_slate(*, answer: Recommendation, version_id: int) -> None:
    """One row; a failure leaves the caller's transaction usable."""
    with transaction.atomic():
        Slate(**slate_values(answer, version_id)).save(force_insert=True)


def store_slates(*, answers: Iterable[Recommendation], version_id: int) -> None:
    """Rows of a batch."""
    Slate.objects.bulk_create((Slate(**slate_values(answer, version_id)) for answer in answers), batch_size=BATCH)


def slate_values(answer: Recommendation, version_id: int) -> dict[str, Any]:
    """The columns of an answer."""
    return {
        "recommendation_id": answer.recommendation_id,
        "user_id": answer.user_id,
        "strategy_version_id": version_id,
        "model_version_id": answer.model_version_id,
        "held_by": answer.held_by,
        "items": [item.item_id for item in answer.items],
        "scores": [item.score for item in answer.items],
        "reasons": [[item.reason.code, *item.reason.item_ids] for item in answer.items],
        "propensities": [item.propensity for item in answer.items],
        "sources": [item.source for item in answer.items],
        "fallback": answer.fallback,
        "fallback_reason": answer.fallback_reason,
        "short_reason": answer.short_reason,
        "context": dict(answer.context),
        "at": answer.at,
        "duration_us": answer.duration_us,
    }
