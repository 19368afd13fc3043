"""Putting a slate together: what one link of the chain offers, filtered, limited, explained."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recommender.algorithms.base import NO_SCORE, Profile, Scores, top_k
from recommender.choices import CATALOGUE_FALLBACK, FallbackReason
from recommender.errors import RecommenderError
from recommender.reports import Reason, SlateItem
from recommender.services.bounded import TookTooLong, call_bounded
from recommender.services.snapshots import Catalogue, Link, LoadedModel, Plan, loaded_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recommender.ports import RecentEvent

logger = logging.getLogger(__name__)

CATEGORY_OVERFETCH = 10
"""Candidates per place when a category may only have so many places."""

MAX_ANCHORS = 2
"""Items named in one reason."""


class _Place(NamedTuple):
    row: int
    """In the catalogue."""
    score: float
    reason: Reason
    source: str


class _Scored(NamedTuple):
    model: LoadedModel
    profile: Profile
    scores: Scores


class _PassedOver(Exception):
    """A link that offers nothing; carries the reason."""

    def __init__(self, reason: FallbackReason) -> None:
        super().__init__(reason.value)
        self.reason = reason


@dataclass(slots=True, kw_only=True)
class SlateBuilder:
    """A slate while it is filled."""

    k: int
    plan: Plan
    catalogue: Catalogue
    allowed: NDArray[np.bool_]
    """Catalogue rows that may still be taken."""
    deadline: float
    """On the clock of `time.perf_counter`."""
    places: list[_Place] = field(default_factory=list)
    fallback: str = ""
    fallback_reason: str = ""
    model_id: int | None = None

    @property
    def missing(self) -> int:
        """Free places."""
        return self.k - len(self.places)

    def note(self, reason: FallbackReason) -> None:
        """The first reason stands: it is why the strategy's own model was not enough."""
        self.fallback_reason = self.fallback_reason or reason.value

    def offer(self, link: Link, events: Iterable[RecentEvent]) -> None:
        """Lets a link's model fill the free places."""
        try:
            scored = self._scored(link, events)
            self._take(link.slug, scored)
        except _PassedOver as passed:
            self.note(passed.reason)
            return
        if link is self.plan.chain[0]:
            self.model_id = scored.model.model_id
        if self.missing:
            self.note(FallbackReason.TOO_FEW_ITEMS)

    def offer_catalogue(self) -> None:
        """Fills the free places with the allowed items of the greatest stored popularity."""
        rows = self._within_categories(np.flatnonzero(self.allowed).tolist())
        self._put([_Place(row, 0.0, Reason("editorial"), CATALOGUE_FALLBACK) for row in rows], CATALOGUE_FALLBACK)

    def items(self) -> tuple[SlateItem, ...]:
        """The slate so far, as others see it."""
        return tuple(_shown(self.catalogue, position, place) for position, place in enumerate(self.places))

    def _scored(self, link: Link, events: Iterable[RecentEvent]) -> _Scored:
        if not link.is_active:
            raise _PassedOver(FallbackReason.SWITCHED_OFF)
        served = link.model
        if served is None:
            raise _PassedOver(FallbackReason.NO_MODEL)
        rest = self.deadline - time.perf_counter()
        if rest <= 0:
            raise _PassedOver(FallbackReason.OUT_OF_TIME)
        try:
            model = call_bounded(lambda: loaded_model(served), seconds=rest)
            profile = _needed_profile(model, events, self.plan.event_weights)
            rest = self.deadline - time.perf_counter()
            scores = call_bounded(lambda: model.algorithm.score(model.arrays, profile), seconds=rest)
        except TookTooLong as error:
            raise _PassedOver(FallbackReason.OUT_OF_TIME) from error
        except RecommenderError as error:
            raise _PassedOver(FallbackReason.UNREADABLE_MODEL) from error
        except _PassedOver:
            raise
        except Exception as error:  # the border to plug-ins: a page must not fail because an algorithm does
            logger.exception("the algorithm of %s failed", link.slug)
            raise _PassedOver(FallbackReason.ALGORITHM_FAILED) from error
        if scores.shape != (len(model.item_ids),):
            logger.error(
                "the algorithm of %s gave %s scores for %d items", link.slug, scores.shape, len(model.item_ids)
            )
            raise _PassedOver(FallbackReason.ALGORITHM_FAILED)
        return _Scored(model, profile, scores)

    def _take(self, slug: str, scored: _Scored) -> None:
        rows = scored.model.catalogue_rows(self.catalogue)
        free = (rows >= 0) & self.allowed[rows] if self.allowed.size else np.zeros(rows.size, dtype=bool)
        usable = np.where(free & ~np.isnan(scored.scores), scored.scores, NO_SCORE)
        limit = self.plan.filters.max_per_category
        best = top_k(usable, self.missing * CATEGORY_OVERFETCH if limit else self.missing).tolist()
        index_of = {int(rows[index]): index for index in best}
        self._put(
            [
                _Place(row, float(usable[index_of[row]]), _reason(scored, index_of[row]), slug)
                for row in self._within_categories(list(index_of))
            ],
            slug,
        )

    def _put(self, places: list[_Place], source: str) -> None:
        self.places += places
        self.allowed[[place.row for place in places]] = False
        if places and source != self.plan.chain[0].slug:
            self.fallback = self.fallback or source

    def _within_categories(self, rows: list[int]) -> list[int]:
        """The first rows that fit into the free places and leave no category with more than its limit."""
        limit = self.plan.filters.max_per_category
        if not limit:
            return rows[: self.missing]
        used = Counter(self.catalogue.items[place.row].category for place in self.places)
        chosen: list[int] = []
        for row in rows:
            category = self.catalogue.items[row].category
            if len(chosen) < self.missing and used[category] < limit:
                used[category] += 1
                chosen.append(row)
        return chosen


def build_profile(model: LoadedModel, events: Iterable[RecentEvent], event_weights: Mapping[str, float]) -> Profile:
    """Event weights summed per item the model knows, in the order of each item's last event, oldest first."""
    totals: dict[int, float] = {}
    for event in sorted(events, key=lambda event: event.at):
        index, weight = model.index_of.get(event.item_id), event_weights.get(event.event_type, 0.0)
        if index is not None and weight > 0:
            totals[index] = totals.pop(index, 0.0) + weight
    return Profile(
        items=np.fromiter(totals, dtype=np.int32, count=len(totals)),
        weights=np.fromiter(totals.values(), dtype=np.float32, count=len(totals)),
    )


def _needed_profile(model: LoadedModel, events: Iterable[RecentEvent], event_weights: Mapping[str, float]) -> Profile:
    profile = build_profile(model, events, event_weights)
    if profile.is_empty and model.algorithm.capabilities.personalized:
        raise _PassedOver(FallbackReason.NO_HISTORY)
    return profile


def _reason(scored: _Scored, index: int) -> Reason:
    model = scored.model
    anchors = model.algorithm.explain(model.arrays, scored.profile, index)[:MAX_ANCHORS]
    return Reason(model.algorithm.capabilities.reason, tuple(model.item_ids[anchor.item] for anchor in anchors))


def _shown(catalogue: Catalogue, position: int, place: _Place) -> SlateItem:
    item = catalogue.items[place.row]
    return SlateItem(
        position=position,
        item_id=item.item_id,
        title=item.title,
        category=item.category,
        price=item.price,
        currency=item.currency,
        url=item.url,
        image=item.image,
        score=place.score,
        propensity=1.0,
        reason=place.reason,
        source=place.source,
    )
