"""Serving: a slate for one person, always, within a time budget.

The chain: the strategy's own model, the models of its fallback strategies, the catalogue by stored popularity. Each
link fills what the links before it left empty; one that cannot be used is passed over, and the answer says why.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from django.db import DatabaseError

from recommender.choices import FallbackReason, ShortReason
from recommender.reports import Recommendation
from recommender.services.bounded import TookTooLong, call_bounded
from recommender.services.composing import SlateBuilder
from recommender.services.filters import EVERY_TYPE
from recommender.services.slates import store_slate, store_slates
from recommender.services.snapshots import Catalogue, Plan, current_catalogue, micros, plan_for
from recommender.services.training import interactions_port

if TYPE_CHECKING:
    from recommender.ports import RecentEvent

logger = logging.getLogger(__name__)

DEFAULT_BUDGET_MS = 80
MAX_SLATE = 500
HISTORY_LIMIT = 200
"""Newest events that make the profile; also enough to know everything seen for nearly everybody."""

STORING_SECONDS = 0.02
"""How long a page waits for its slate to be stored beyond the budget's rest; the row is written in any case."""

BATCH_SECONDS = 3600.0
"""Budget of one person in a batch: none to speak of."""


@dataclass(frozen=True, slots=True)
class History:
    """What the port said about one person."""

    events: tuple[RecentEvent, ...] = ()
    seen: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    k: int
    strategy: str
    context: Mapping[str, str]
    at: datetime
    exclude: Collection[str]
    seconds: float


def recommend(
    *,
    user_id: str,
    k: int,
    strategy: str,
    context: Mapping[str, str],
    at: datetime,
    exclude: Collection[str] = (),
    log: bool = True,
    budget_ms: int = DEFAULT_BUDGET_MS,
) -> Recommendation:
    """A slate of `k` items for a person (`user_id=""`: somebody without history), stored unless `log` is off.

    Raises `UnknownStrategy`, and ValueError for a bad `k`; nothing else that goes wrong below raises.
    """
    started = time.perf_counter()
    request = _request(k=k, strategy=strategy, context=context, at=at, exclude=exclude, seconds=budget_ms / 1000)
    try:
        plan, catalogue = plan_for(strategy), current_catalogue()
    except DatabaseError:
        logger.exception("recommend: no database, and nothing remembered")
        return _unavailable(request, user_id, started)
    answer = _answer(request, plan, catalogue, user_id)
    if log:
        rest = max(0.0, started + request.seconds - time.perf_counter()) + STORING_SECONDS
        try:
            call_bounded(lambda: store_slate(answer=answer, version_id=plan.version_id), seconds=rest)
        except (TookTooLong, DatabaseError):
            logger.exception("slate %s is not stored yet", answer.recommendation_id)
    return answer


def recommend_many(
    *,
    user_ids: Iterable[str],
    k: int,
    strategy: str,
    context: Mapping[str, str],
    at: datetime,
    exclude: Collection[str] = (),
    log: bool = True,
) -> list[Recommendation]:
    """Slates for many people (an e-mail batch): the same answers, without a time budget, stored in bulk."""
    request = _request(k=k, strategy=strategy, context=context, at=at, exclude=exclude, seconds=BATCH_SECONDS)
    plan, catalogue = plan_for(strategy), current_catalogue()
    answers = [_answer(request, plan, catalogue, user_id) for user_id in user_ids]
    if log:
        store_slates(answers=answers, version_id=plan.version_id)
    return answers


def read_history(plan: Plan, user_id: str) -> History:
    """Newest events and everything seen; one query, a second one only for people with a long history."""
    port = interactions_port()
    event_types = sorted(plan.event_weights)
    events = tuple(port.recent_items(user_id=user_id, event_types=event_types, limit=HISTORY_LIMIT))
    marks = event_types if EVERY_TYPE in plan.filters.seen else sorted(plan.filters.seen)
    seen = {event.item_id for event in events if event.event_type in marks}
    if marks and (len(events) >= HISTORY_LIMIT or not set(marks) <= set(event_types)):
        seen |= set(port.seen_items(user_id=user_id, event_types=marks))
    return History(events=events, seen=frozenset(seen))


def _request(
    *, k: int, strategy: str, context: Mapping[str, str], at: datetime, exclude: Collection[str], seconds: float
) -> _Request:
    if not 1 <= k <= MAX_SLATE:
        raise ValueError(f"k must lie between 1 and {MAX_SLATE}, got {k}")
    return _Request(k=k, strategy=strategy, context=dict(context), at=at, exclude=exclude, seconds=seconds)


def _answer(request: _Request, plan: Plan, catalogue: Catalogue, user_id: str) -> Recommendation:
    started = time.perf_counter()
    at = micros(request.at)
    builder = SlateBuilder(
        k=request.k,
        plan=plan,
        catalogue=catalogue,
        allowed=catalogue.allowed(at=at, filters=plan.filters),
        deadline=started + request.seconds,
    )
    history = _history(builder, user_id)
    for item_id in (*history.seen, *request.exclude):
        row = catalogue.row_of.get(item_id)
        if row is not None:
            builder.allowed[row] = False
    for link in plan.chain:
        if builder.missing:
            builder.offer(link, history.events)
    if builder.missing:
        builder.offer_catalogue()
    return Recommendation(
        recommendation_id=uuid4(),
        user_id=user_id,
        strategy=request.strategy,
        strategy_version=plan.version_number,
        model_version_id=builder.model_id,
        items=builder.items(),
        fallback=builder.fallback,
        fallback_reason=builder.fallback_reason if builder.fallback or builder.missing else "",
        short_reason=ShortReason.CATALOGUE_TOO_SMALL.value if builder.missing else "",
        context=request.context,
        at=at,
        duration_us=_elapsed_us(started),
    )


def _history(builder: SlateBuilder, user_id: str) -> History:
    if not user_id:
        return History()
    rest = builder.deadline - time.perf_counter()
    try:
        return call_bounded(lambda: read_history(builder.plan, user_id), seconds=rest)
    except (TookTooLong, DatabaseError) as error:
        logger.warning("recommend: history not read: %s", error)
        builder.note(FallbackReason.HISTORY_UNAVAILABLE)
        return History()


def _unavailable(request: _Request, user_id: str, started: float) -> Recommendation:
    return Recommendation(
        recommendation_id=uuid4(),
        user_id=user_id,
        strategy=request.strategy,
        strategy_version=None,
        model_version_id=None,
        items=(),
        fallback="",
        fallback_reason="",
        short_reason=ShortReason.CATALOGUE_UNAVAILABLE.value,
        context=request.context,
        at=micros(request.at),
        duration_us=_elapsed_us(started),
    )


def _elapsed_us(started: float) -> int:
    return int((time.perf_counter() - started) * 1_000_000)
