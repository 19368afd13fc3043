"""Frozen results that pages, JSON and other apps read; nothing here knows Django."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

ReasonCode = Literal["because_of", "similar_people", "popular", "editorial", "explored", "recent"]

FALLBACK_NONE = ""
"""The strategy's own model filled the whole slate."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why one item is in a slate: a code and the items it refers to (best first)."""

    code: ReasonCode
    item_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SlateItem:
    """One place of a slate, with what a page needs to show it."""

    position: int
    item_id: str
    title: str
    category: str
    price: int | None
    """Micro-units of `currency`."""
    currency: str
    url: str
    image: str
    score: float
    propensity: float
    """Probability of this item at this place given the places before it; 1 where nothing was drawn."""
    reason: Reason
    source: str
    """Slug of the strategy that put the item here, or `catalogue`."""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The answer of `recommend`: what to show, and everything needed to explain it later."""

    recommendation_id: UUID
    user_id: str
    strategy: str
    strategy_version: int | None
    model_version_id: int | None
    items: tuple[SlateItem, ...]
    fallback: str
    """Empty, or which fallback filled (part of) the slate."""
    fallback_reason: str
    """Empty, or why, as one of `choices.FallbackReason`."""
    short_reason: str
    """Empty, or why there are fewer items than asked for."""
    context: Mapping[str, str]
    held_by: str
    """Who keeps the strategy's version (a running experiment); empty for the current one."""
    at: int
    duration_us: int


@dataclass(frozen=True, slots=True)
class UpsertCounts:
    """What `upsert_items` did."""

    created: int
    updated: int
    unchanged: int


@dataclass(frozen=True, slots=True)
class ForgetCounts:
    """What `forget` removed."""

    slates: int


DIFFERENT_FROM = 3.0
"""Standard errors: an alarm that is looked at again and again must not cry at two."""


@dataclass(frozen=True, slots=True)
class FallbackRate:
    """Slates and people for whom a fallback stood in, for one value of a context key (one arm, say)."""

    label: str
    slates: int
    fallbacks: int
    people: int
    people_with_fallback: int
    people_with_failure: int
    """Of these, people for whom something was broken or late; the others' fallbacks are the strategy's way."""

    @property
    def rate(self) -> float | None:
        """Of slates; None when nothing was served."""
        return self.fallbacks / self.slates if self.slates else None

    @property
    def people_rate(self) -> float | None:
        """Of people, who are independent of each other as slates are not; None when nobody was served."""
        return self.people_with_fallback / self.people if self.people else None

    def differs_from(self, other: FallbackRate) -> bool:
        """Whether failures hit people here and there by more than chance explains (pooled z, `DIFFERENT_FROM`)."""
        n = self.people + other.people
        if not (self.people and other.people):
            return False
        pooled = (self.people_with_failure + other.people_with_failure) / n
        variance = pooled * (1 - pooled) * (1 / self.people + 1 / other.people)
        apart = abs(self.people_with_failure / self.people - other.people_with_failure / other.people)
        return variance > 0 and apart > DIFFERENT_FROM * variance**0.5
