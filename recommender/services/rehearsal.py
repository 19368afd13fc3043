"""Slates as they would have been given at moments of the past: for a demo world, or to rehearse a campaign."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import NAMESPACE_URL, uuid5

from recommender.reports import Recommendation
from recommender.services.serving import recommend_many
from recommender.services.slates import store_slates
from recommender.services.snapshots import plan_for

DAY_US = 86_400_000_000
MOST = 500
"""People of one batch."""


@dataclass(frozen=True, slots=True)
class PastRequest:
    """Somebody who asked then (µs)."""

    user_id: str
    at: int


def rehearse(
    *, requests: Sequence[PastRequest], k: int, strategy: str, context: Mapping[str, str], held_by: str, seed: str
) -> Iterator[Recommendation]:
    """Makes and stores the slates, a day's worth at a time; nobody's slate knows what happened on that day or later.

    Equal seeds give equal recommendation ids. The models are those of today.
    """
    plan = plan_for(strategy, held_by=held_by)
    for batch in _batches(requests):
        answers = recommend_many(
            user_ids=[request.user_id for request in batch],
            k=k,
            strategy=strategy,
            context=context,
            at=datetime.fromtimestamp(batch[-1].at / 1_000_000, tz=UTC),
            held_by=held_by,
            before=batch[0].at // DAY_US * DAY_US,
            log=False,
        )
        shown = [
            replace(
                answer,
                recommendation_id=uuid5(NAMESPACE_URL, f"{seed}:{held_by}:{request.user_id}:{request.at}"),
                at=request.at,
            )
            for request, answer in zip(batch, answers, strict=True)
        ]
        store_slates(answers=shown, version_id=plan.version_id)
        yield from shown


def _batches(requests: Sequence[PastRequest]) -> Iterator[list[PastRequest]]:
    batch: list[PastRequest] = []
    for request in sorted(requests, key=lambda one: (one.at, one.user_id)):
        if batch and (len(batch) >= MOST or request.at // DAY_US != batch[0].at // DAY_US):
            yield batch
            batch = []
        batch.append(request)
    if batch:
        yield batch
