"""Storing what was shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.db import transaction

from recommender.models import Slate

if TYPE_CHECKING:
    from recommender.reports import Recommendation

BATCH = 500


def store_slate(*, answer: Recommendation, version_id: int) -> None:
    """One row; a failure leaves the caller's transaction usable."""
    with transaction.atomic():
        _row(answer, version_id).save(force_insert=True)


def store_slates(*, answers: Sequence[Recommendation], version_id: int) -> None:
    """Rows of a batch."""
    Slate.objects.bulk_create([_row(answer, version_id) for answer in answers], batch_size=BATCH)


def _row(answer: Recommendation, version_id: int) -> Slate:
    return Slate(
        recommendation_id=answer.recommendation_id,
        user_id=answer.user_id,
        strategy_version_id=version_id,
        model_version_id=answer.model_version_id,
        items=[item.item_id for item in answer.items],
        scores=[item.score for item in answer.items],
        reasons=[[item.reason.code, *item.reason.item_ids] for item in answer.items],
        propensities=[item.propensity for item in answer.items],
        sources=[item.source for item in answer.items],
        fallback=answer.fallback,
        fallback_reason=answer.fallback_reason,
        short_reason=answer.short_reason,
        context=dict(answer.context),
        at=answer.at,
        duration_us=answer.duration_us,
    )
