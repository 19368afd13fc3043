"""Slates made ahead for a batch (a sending): kept until they are taken, and shown only if they still may be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

from django.db import transaction

from recommender.choices import ShortReason
from recommender.models import PreparedSlate, Slate
from recommender.reports import Reason, Recommendation, SlateItem
from recommender.services.assortment import Catalogue, micros
from recommender.services.serving import recommend_many
from recommender.services.slates import slate_values
from recommender.services.snapshots import current_catalogue, plan_for

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK = 500
KEPT = timedelta(days=7)
"""A slate older than a week says nothing about its person any more."""


def prepare_slates(
    *,
    batch: str,
    user_ids: Iterable[str],
    k: int,
    strategy: str,
    context: Mapping[str, str],
    at: datetime,
    held_by: str = "",
) -> int:
    """Makes and keeps slates for any number of people; returns how many. Somebody who has one keeps it.

    Repeating it after an interruption goes on where it stopped: people with a slate are not asked for again.
    """
    plan, made = plan_for(strategy, held_by=held_by), 0
    for chunk in _chunks(user_ids):
        known = set(PreparedSlate.objects.filter(batch=batch, user_id__in=chunk).values_list("user_id", flat=True))
        answers = recommend_many(
            user_ids=[user_id for user_id in chunk if user_id not in known],
            k=k,
            strategy=strategy,
            context=context,
            at=at,
            held_by=held_by,
            log=False,
        )
        rows = [PreparedSlate(batch=batch, **slate_values(answer, plan.version_id)) for answer in answers]
        PreparedSlate.objects.bulk_create(rows, ignore_conflicts=True)
        made += len(rows)
    return made


@transaction.atomic
def take_slates(*, batch: str, user_ids: Sequence[str], at: datetime) -> dict[str, Recommendation]:
    """Hands out the slates of these people (some hundred) and stores them as shown; people without one are missing.

    Items that may not be shown any more (hidden, expired, sold out, restricted by age) are taken out first.
    """
    rows = list(
        PreparedSlate.objects.select_for_update(of=("self",))
        .filter(batch=batch, user_id__in=user_ids)
        .select_related("strategy_version__strategy")
        .order_by("pk")
    )
    catalogue, now = current_catalogue(), micros(at)
    answers = {row.user_id: (_answer(row, catalogue, at=now), row.strategy_version_id) for row in rows}
    Slate.objects.bulk_create(Slate(**slate_values(answer, version_id)) for answer, version_id in answers.values())
    PreparedSlate.objects.filter(pk__in=[row.pk for row in rows]).delete()
    return {user_id: answer for user_id, (answer, _version) in answers.items()}


def drop_old_slates(*, at: datetime) -> int:
    """Removes prepared slates that nobody took; returns how many."""
    return PreparedSlate.objects.filter(at__lt=micros(at - KEPT)).delete()[0]


def _chunks(user_ids: Iterable[str]) -> Iterator[list[str]]:
    people = iter(user_ids)
    while chunk := list(islice(people, CHUNK)):
        yield chunk


def _answer(row: PreparedSlate, catalogue: Catalogue, *, at: int) -> Recommendation:
    places = zip(row.items, row.scores, row.reasons, row.propensities, row.sources, strict=True)
    shown: list[SlateItem] = []
    for item_id, score, reason, propensity, source in places:
        number = catalogue.row_of.get(item_id)
        if number is None or not catalogue.may_show(number, at=at):
            continue
        item = catalogue.items[number]
        shown.append(
            SlateItem(
                position=len(shown),
                item_id=item_id,
                title=item.title,
                category=item.category,
                price=item.price,
                currency=item.currency,
                url=item.url,
                image=item.image,
                score=score,
                propensity=propensity,
                reason=Reason(reason[0], tuple(reason[1:])),
                source=source,
            )
        )
    answer = Recommendation(
        recommendation_id=row.recommendation_id,
        user_id=row.user_id,
        strategy=row.strategy_version.strategy.slug,
        strategy_version=row.strategy_version.number,
        model_version_id=row.model_version_id,
        items=tuple(shown),
        fallback=row.fallback,
        fallback_reason=row.fallback_reason,
        short_reason=row.short_reason,
        context=row.context,
        held_by=row.held_by,
        at=at,
        duration_us=row.duration_us,
    )
    return answer if len(shown) == len(row.items) else replace(answer, short_reason=ShortReason.ITEMS_WITHDRAWN.value)
