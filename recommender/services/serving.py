"""Serving: a slate for one person, always, within a time budget.

The chain: the strategy's own model, the models of its fallback strategies, the catalogue by stored popularity. Each
link fills what the links before it left empty; one that cannot be used is passed over, and the answer says why.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from random import Random
from uuid import uuid4

from django.db import DatabaseError

from recommender.choices import FallbackReason, ShortReason
from recommender.ports import RecentEvent
from recommender.reports import Recommendation
from recommender.services.assortment import Catalogue, micros
from recommender.services.bounded import TookTooLong, call_bounded, call_later
from recommender.services.composing import SlateBuilder
from recommender.services.events import interactions_port
from recommender.services.filters import DISMISSED, EVERY_TYPE, PURCHASE
from recommender.services.slates import store_slate, store_slates
from recommender.services.snapshots import UNHURRIED, Plan, current_catalogue, plan_for

logger = logging.getLogger(__name__)

DEFAULT_BUDGET_MS = 80
MAX_SLATE = 500
HISTORY_LIMIT = 200
"""Newest events that make the profile; also enough to know everything seen for nearly everybody."""

HISTORY_SHARE = 0.5
"""Part of the rest of the budget that reading the history may take: a fallback's model needs the other."""

CALLS_SHARE = 0.9
"""Part of the budget in which all calls must have answered: the rest puts the slate together."""

LEAST_SECONDS = 0.005
"""What a refresh of plan and catalogue may take even without a budget."""

HISTORIES_AT_ONCE = 500
"""People whose histories one query of a batch reads."""

DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class History:
    """What the port said about one person."""

    events: tuple[RecentEvent, ...] = ()
    hidden: frozenset[str] = frozenset()
    """Items that must not be shown: seen, dismissed or just bought."""
    tokens: tuple[str, ...] = ()
    """What is known of the person besides, where a model of the plan goes by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    k: int
    strategy: str
    context: Mapping[str, str]
    at: datetime
    seconds: float
    exclude: Collection[str] = ()
    basis: Sequence[str] = ()
    only: Collection[str] | None = None
    age: int = 0
    held_by: str = ""


def recommend(
    *,
    user_id: str,
    k: int,
    strategy: str,
    context: Mapping[str, str],
    at: datetime,
    exclude: Collection[str] = (),
    basis: Sequence[str] = (),
    only: Collection[str] | None = None,
    age: int = 0,
    held_by: str = "",
    log: bool = True,
    budget_ms: int = DEFAULT_BUDGET_MS,
) -> Recommendation:
    """A slate of `k` items, stored unless `log` is off. One service for every use:

    for a person: `user_id`; for an anonymous session, similar to an item, or to complete a basket: `basis`, the items
    it goes by instead of a history (they are not recommended themselves); re-rank given items: `only`; what moves now:
    a strategy of the popularity algorithm with a short half-life, and `user_id=""`.
    `age` is what is known of the person's age (0: nothing; then no item with a minimum age is shown). `held_by` names
    whoever keeps a version of the strategy (a running experiment).

    Raises `UnknownStrategy`, and ValueError for a bad `k`; nothing else that goes wrong below raises.
    """
    started = time.perf_counter()
    request = _Request(
        k=_checked_length(k),
        strategy=strategy,
        context=dict(context),
        at=at,
        exclude=exclude,
        basis=basis,
        only=only,
        age=age,
        held_by=held_by,
        seconds=budget_ms / 1000,
    )
    try:
        plan = plan_for(strategy, held_by=held_by, seconds=max(request.seconds / 4, LEAST_SECONDS))
        catalogue = current_catalogue(seconds=max(request.seconds / 2, LEAST_SECONDS))
    except DatabaseError:
        logger.exception("recommend: no database, and nothing remembered")
        return _unavailable(request, user_id, started)
    answer = _answer(request, plan, catalogue, user_id, None, started=started)
    if log:
        try:
            call_later(lambda: store_slate(answer=answer, version_id=plan.version_id))
        except (TookTooLong, DatabaseError):
            logger.exception("slate %s is not stored", answer.recommendation_id)
    return answer


def recommend_by(*, plan: Plan, user_id: str, k: int, at: datetime, budget_ms: int) -> Recommendation:
    """A slate by a plan that is at hand (a design that is tried out); nothing is stored."""
    request = _Request(
        k=_checked_length(k),
        strategy=plan.strategy,
        context={},
        at=at,
        seconds=budget_ms / 1000,
    )
    return _answer(request, plan, current_catalogue(), user_id, None, started=time.perf_counter())


def recommend_many(
    *,
    user_ids: Iterable[str],
    k: int,
    strategy: str,
    context: Mapping[str, str],
    at: datetime,
    exclude: Collection[str] = (),
    held_by: str = "",
    before: int | None = None,
    log: bool = True,
) -> Iterator[Recommendation]:
    """Slates for any number of people, in their order, without a time budget, stored unless `log` is off.

    With `before` (µs) only what happened earlier counts: a slate as it would have been then.

    Histories are read and slates are stored for some hundred people at a time, before the first of them is given;
    memory does not grow with their number.
    """
    request = _Request(
        k=_checked_length(k),
        strategy=strategy,
        context=dict(context),
        at=at,
        exclude=exclude,
        held_by=held_by,
        seconds=UNHURRIED,
    )
    people = iter(user_ids)
    while chunk := list(islice(people, HISTORIES_AT_ONCE)):
        plan, catalogue = plan_for(strategy, held_by=held_by), current_catalogue()
        histories = read_histories(plan, chunk, at=micros(at), before=before)
        answers = [
            _answer(request, plan, catalogue, user_id, histories[user_id], started=time.perf_counter())
            for user_id in chunk
        ]
        if log:
            store_slates(answers=answers, version_id=plan.version_id)
        yield from answers


def read_history(plan: Plan, user_id: str, *, at: int) -> History:
    """Newest events and what must not be shown again; a second query only for people with a long history."""
    port = interactions_port()
    types = _read_types(plan)
    events = tuple(port.recent_items(user_id=user_id, event_types=types, limit=HISTORY_LIMIT))
    marks = _seen_types(plan)
    hidden = _hidden(plan, events, at=at)
    if len(events) >= HISTORY_LIMIT:
        hidden |= set(port.seen_items(user_id=user_id, event_types=sorted({*marks, DISMISSED})))
        if plan.filters.bought_days and PURCHASE not in marks:
            bought = port.recent_items(user_id=user_id, event_types=[PURCHASE], limit=HISTORY_LIMIT)
            hidden |= _hidden(plan, bought, at=at)
    tokens = tuple(port.describe_users(user_ids=[user_id]).get(user_id, ())) if plan.describes_people else ()
    return History(events=events, hidden=frozenset(hidden), tokens=tokens)


def read_histories(plan: Plan, user_ids: Sequence[str], *, at: int, before: int | None = None) -> dict[str, History]:
    """`read_history` for many people: one query, and more only for those with a long history."""
    described = interactions_port().describe_users(user_ids=user_ids) if plan.describes_people else {}
    found = interactions_port().recent_items_many(
        user_ids=user_ids, event_types=_read_types(plan), limit=HISTORY_LIMIT, before=before
    )
    histories = {}
    for user_id in user_ids:
        events = tuple(found.get(user_id, ()))
        if len(events) >= HISTORY_LIMIT and before is None:
            histories[user_id] = read_history(plan, user_id, at=at)
        else:
            histories[user_id] = History(
                events=events,
                hidden=frozenset(_hidden(plan, events, at=at)),
                tokens=tuple(described.get(user_id, ())),
            )
    return histories


def _read_types(plan: Plan) -> list[str]:
    bought = {PURCHASE} if plan.filters.bought_days else set()
    return sorted({*plan.event_weights, *_seen_types(plan), DISMISSED, *bought})


def _seen_types(plan: Plan) -> set[str]:
    return set(plan.event_weights) if EVERY_TYPE in plan.filters.seen else set(plan.filters.seen)


def _hidden(plan: Plan, events: Iterable[RecentEvent], *, at: int) -> set[str]:
    """Items that these events keep off the slate: seen, dismissed, or bought a short while ago."""
    marks = {*_seen_types(plan), DISMISSED}
    bought_since = at - plan.filters.bought_days * DAY_US
    return {
        event.item_id
        for event in events
        if event.event_type in marks
        or (plan.filters.bought_days and event.event_type == PURCHASE and event.at >= bought_since)
    }


def _checked_length(k: int) -> int:
    if not 1 <= k <= MAX_SLATE:
        raise ValueError(f"k must lie between 1 and {MAX_SLATE}, got {k}")
    return k


def _answer(
    request: _Request, plan: Plan, catalogue: Catalogue, user_id: str, history: History | None, *, started: float
) -> Recommendation:
    at = micros(request.at)
    applied = catalogue.applied(version_id=plan.version_id, filters=plan.filters, rules=plan.rules)
    recommendation_id = uuid4()
    builder = SlateBuilder(
        k=request.k,
        plan=plan,
        catalogue=catalogue,
        applied=applied,
        allowed=catalogue.allowed(at=at, applied=applied, age=request.age),
        deadline=started + CALLS_SHARE * request.seconds,
        draw=Random(recommendation_id.int).random,  # noqa: S311 a draw that can be repeated from the logged id
    )
    if history is None:
        history = _history(builder, user_id, at)
    builder.hide((*history.hidden, *request.exclude, *request.basis))
    if request.only is not None:
        builder.keep_only(request.only)
    events = tuple(_by_items(plan, request.basis, at)) if request.basis else history.events
    builder.pin()
    for link in plan.chain:
        if builder.missing:
            builder.offer(link, events, () if request.basis else history.tokens)
    if builder.missing:
        builder.offer_catalogue()
    return Recommendation(
        recommendation_id=recommendation_id,
        user_id=user_id,
        strategy=request.strategy,
        strategy_version=plan.version_number,
        model_version_id=builder.model_id,
        items=builder.items(),
        fallback=builder.fallback,
        fallback_reason=builder.fallback_reason if builder.fallback or builder.missing else "",
        short_reason=ShortReason.CATALOGUE_TOO_SMALL.value if builder.missing else "",
        context=request.context,
        held_by=plan.held_by,
        at=at,
        duration_us=_elapsed_us(started),
    )


def _by_items(plan: Plan, basis: Sequence[str], at: int) -> Iterator[RecentEvent]:
    """Items as if somebody had just looked at them, one after another: the last one is the newest."""
    event_type = min(plan.event_weights, key=lambda name: (plan.event_weights[name], name), default="")
    for place, item_id in enumerate(basis):
        yield RecentEvent(item_id=item_id, event_type=event_type, at=at - len(basis) + place, value=None)


def _history(builder: SlateBuilder, user_id: str, at: int) -> History:
    if not user_id:
        return History()
    rest = HISTORY_SHARE * (builder.deadline - time.perf_counter())
    try:
        return call_bounded(lambda: read_history(builder.plan, user_id, at=at), seconds=rest)
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
        held_by=request.held_by,
        at=micros(request.at),
        duration_us=_elapsed_us(started),
    )


def _elapsed_us(started: float) -> int:
    return int((time.perf_counter() - started) * 1_000_000)
