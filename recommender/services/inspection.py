"""What one person did, gets, and got: for the page that explains a slate. Stores nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from recommender.models import Slate
from recommender.reports import Reason, Recommendation, SlateItem
from recommender.selectors import fallback_text, item_titles, list_slates, reason_text
from recommender.services.serving import read_history, recommend
from recommender.services.snapshots import plan_for

SHOWN_EVENTS = 50
SHOWN_ITEMS = 10
UNHURRIED_MS = 2_000
"""An explanation may take longer than a page of the shop."""


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One event, with the item's title."""

    title: str
    item_id: str
    event_type: str
    at: datetime
    weight: float


@dataclass(frozen=True, slots=True)
class ExplainedItem:
    """One place of the slate, its reason in words."""

    item: SlateItem
    reason: str


@dataclass(frozen=True, slots=True)
class ShownSlate:
    """A stored slate, with titles and words."""

    slate: Slate
    at: datetime
    titles: tuple[str, ...]
    fallback_reason: str


@dataclass(frozen=True, slots=True)
class UserPage:
    """Everything the page shows."""

    user_id: str
    history: tuple[HistoryRow, ...]
    answer: Recommendation
    items: tuple[ExplainedItem, ...]
    fallback_reason: str
    short_reason: str
    slates: tuple[ShownSlate, ...]


def inspect_user(*, user_id: str, strategy: str, at: datetime) -> UserPage:
    """History, present slate (not stored) and past slates; raises `UnknownStrategy`."""
    plan = plan_for(strategy)
    events = read_history(plan, user_id, at=int(at.timestamp() * 1_000_000)).events[:SHOWN_EVENTS]
    answer = recommend(
        user_id=user_id, k=SHOWN_ITEMS, strategy=strategy, context={}, at=at, log=False, budget_ms=UNHURRIED_MS
    )
    slates = list(list_slates(user_id=user_id))
    mentioned = [event.item_id for event in events]
    mentioned += [item_id for item in answer.items for item_id in item.reason.item_ids]
    mentioned += [item_id for slate in slates for item_id in slate.items]
    titles = item_titles(item_ids=mentioned)
    return UserPage(
        user_id=user_id,
        history=tuple(
            HistoryRow(
                title=titles.get(event.item_id, event.item_id),
                item_id=event.item_id,
                event_type=event.event_type,
                at=moment(event.at),
                weight=plan.event_weights.get(event.event_type, 0.0),
            )
            for event in events
        ),
        answer=answer,
        items=tuple(ExplainedItem(item, _words(item.reason, titles)) for item in answer.items),
        fallback_reason=fallback_text(code=answer.fallback_reason),
        short_reason=fallback_text(code=answer.short_reason),
        slates=tuple(_shown(slate, titles) for slate in slates),
    )


def moment(at: int) -> datetime:
    """A time in microseconds as a datetime."""
    return datetime.fromtimestamp(at / 1_000_000, tz=UTC)


def _words(reason: Reason, titles: dict[str, str]) -> str:
    return reason_text(reason=reason, titles=titles)


def _shown(slate: Slate, titles: dict[str, str]) -> ShownSlate:
    return ShownSlate(
        slate=slate,
        at=moment(slate.at),
        titles=tuple(titles.get(item_id, item_id) for item_id in slate.items),
        fallback_reason=fallback_text(code=slate.fallback_reason),
    )
