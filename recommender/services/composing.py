"""Putting a slate together: what one link of the chain offers, filtered, limited, explained."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from recommender.algorithms.base import NO_SCORE, Profile, Scores, top_k
from recommender.choices import CATALOGUE_FALLBACK, FallbackReason
from recommender.errors import RecommenderError
from recommender.reports import Reason, SlateItem
from recommender.services.assortment import Applied, Catalogue
from recommender.services.bounded import COMPUTING, TookTooLong, call_bounded
from recommender.services.picking import Candidates, Places, pick
from recommender.services.snapshots import Link, LoadedModel, Plan, loaded_model, remembered_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recommender.ports import RecentEvent

logger = logging.getLogger(__name__)

POOL_FACTOR = 5
"""Candidates per place where limits or variety choose among them."""

MOST_MIXED = 1_000
"""Candidates whose likeness is looked at: beyond it (the catalogue as last resort) popularity alone decides."""

MAX_ANCHORS = 2
"""Items named in one reason."""


class _Place(NamedTuple):
    row: int
    """In the catalogue."""
    score: float
    propensity: float
    reason: Reason
    source: str


class _Scored(NamedTuple):
    model: LoadedModel
    profile: Profile
    scores: Scores


class _Offer(NamedTuple):
    """What one link has to offer, by the model's item indices."""

    slug: str
    scored: _Scored
    rows: NDArray[np.int64]
    usable: Scores


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
    applied: Applied
    allowed: NDArray[np.bool_]
    """Catalogue rows that may still be taken."""
    draw: Callable[[], float]
    """Uniform numbers in [0, 1), for exploration."""
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

    def hide(self, item_ids: Iterable[str]) -> None:
        """Takes items off the table."""
        row_of = self.catalogue.row_of
        self.allowed[[row_of[item_id] for item_id in item_ids if item_id in row_of]] = False

    def keep_only(self, item_ids: Iterable[str]) -> None:
        """Leaves nothing but these items on the table."""
        row_of = self.catalogue.row_of
        wanted = np.zeros_like(self.allowed)
        wanted[[row_of[item_id] for item_id in item_ids if item_id in row_of]] = True
        self.allowed &= wanted

    def pin(self) -> None:
        """Puts the pinned items first."""
        rows = [row for row in self.applied.pinned if self.allowed[row]]
        self._put([_Place(row, 0.0, 1.0, Reason("editorial"), self.plan.strategy) for row in rows[: self.missing]])

    def offer(self, link: Link, events: Iterable[RecentEvent], tokens: tuple[str, ...] = ()) -> None:
        """Lets a link's model fill the free places; `tokens` is what is known of the person besides the events."""
        try:
            scored = self._scored(link, events, tokens)
        except _PassedOver as passed:
            self.note(passed.reason)
            return
        self._take(link.slug, scored)
        if link is self.plan.chain[0]:
            self.model_id = scored.model.model_id
        if self.missing:
            self.note(FallbackReason.TOO_FEW_ITEMS)

    def offer_catalogue(self) -> None:
        """Fills the free places with the allowed items of the greatest stored popularity."""
        rows = np.flatnonzero(self.allowed)
        values = np.linspace(1.0, 0.0, num=rows.size)
        candidates = self._candidates(rows, values, n_scored=rows.size, is_drawn=False)
        self._put(
            [
                _Place(int(rows[one.candidate]), 0.0, 1.0, Reason("editorial"), CATALOGUE_FALLBACK)
                for one in pick(candidates, self._places(), rules=self.plan.rules, draw=self.draw)
            ]
        )

    def items(self) -> tuple[SlateItem, ...]:
        """The slate so far, as others see it."""
        return tuple(_shown(self.catalogue, position, place) for position, place in enumerate(self.places))

    def _scored(self, link: Link, events: Iterable[RecentEvent], tokens: tuple[str, ...]) -> _Scored:
        if not link.is_active:
            raise _PassedOver(FallbackReason.SWITCHED_OFF)
        served = link.model
        if served is None:
            raise _PassedOver(FallbackReason.NO_MODEL)
        rest = self.deadline - time.perf_counter()
        if rest <= 0:
            raise _PassedOver(FallbackReason.OUT_OF_TIME)
        try:
            model = remembered_model(served) or call_bounded(lambda: loaded_model(served), seconds=rest)
            profile = _needed_profile(model, events, self.plan.event_weights, tokens)
            rest = self.deadline - time.perf_counter()
            scores = call_bounded(lambda: model.algorithm.score(model.arrays, profile), seconds=rest, threads=COMPUTING)
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
        rules, limit = self.plan.rules, self.plan.filters.max_per_category
        offer = _Offer(slug, scored, rows, usable)
        if rules.is_plain and not limit:
            chosen = [_placed(offer, int(index), 1.0, is_explored=False) for index in top_k(usable, self.missing)]
        else:
            own, candidates = self._pool(slug, rows, usable)
            picks = pick(candidates, self._places(), rules=rules, draw=self.draw)
            chosen = [
                _placed(offer, int(own[one.candidate]), one.propensity, is_explored=one.is_explored) for one in picks
            ]
        if rules.is_plain and scored.model.algorithm.capabilities.uniform:
            chosen = self._with_chances(chosen, rows[usable > NO_SCORE])
        self._put(chosen)

    def _with_chances(self, chosen: list[_Place], rows: NDArray[np.int64]) -> list[_Place]:
        """Places of an algorithm whose every order is equally likely: each is one of those that could stand there."""
        limit, category = self.plan.filters.max_per_category, self.catalogue.category
        left, used = Counter(category[rows].tolist()), Counter(self._places().used)
        found = []
        for place in chosen:
            found.append(
                place._replace(propensity=1.0 / sum(n for one, n in left.items() if not limit or used[one] < limit))
            )
            own = int(category[place.row])
            left[own] -= 1
            used[own] += 1
        return found

    def _pool(self, slug: str, rows: NDArray[np.int64], usable: Scores) -> tuple[NDArray[np.int64], Candidates]:
        """The best candidates on [0, 1], then promoted and new ones without a score; with the model's indices."""
        rules = self.plan.rules
        known = np.flatnonzero(usable > NO_SCORE)
        worth = _scaled(usable[known])
        if self.applied.factor is not None:
            worth = worth * self.applied.factor[rows[known]]
        size = max(rules.explore_pool, self.missing) if rules.explore else self.missing * POOL_FACTOR
        best = top_k(worth, size)
        if self.applied.promoted is not None:
            promoted = np.where(self.applied.promoted[rows[known]], worth, NO_SCORE)
            best = _joined(best, top_k(promoted, self.missing))
            best = best[np.argsort(-worth[best], kind="stable")]
        own = known[best]
        extra = self._unscored(slug, rows[known])
        codes = np.concatenate([own, -1 - extra])
        all_rows = np.concatenate([rows[own], extra])
        values = np.concatenate([worth[best].astype(np.float64), np.zeros(extra.size)])
        return codes, self._candidates(all_rows, values, n_scored=best.size, is_drawn=bool(rules.explore))

    def _unscored(self, slug: str, scored: NDArray[np.int64]) -> NDArray[np.int64]:
        """Allowed rows the strategy's own model has no score for: promoted ones, and new ones for exploration."""
        rules, promoted = self.plan.rules, self.applied.promoted
        found = np.empty(0, dtype=np.int64)
        if slug != self.plan.strategy or (promoted is None and not (rules.explore and rules.new_items)):
            return found
        unknown = self.allowed.copy()
        unknown[scored] = False
        if promoted is not None:
            found = np.flatnonzero(promoted & unknown)[: self.missing]
            unknown[found] = False
        if rules.explore and rules.new_items:
            newest = self.applied.new
            found = np.concatenate([found, newest[unknown[newest]][: rules.new_items]])
        return found

    def _candidates(
        self,
        rows: NDArray[np.int64],
        values: NDArray[np.float64],
        *,
        n_scored: int,
        is_drawn: bool,
    ) -> Candidates:
        rules, weights = self.plan.rules, None
        if is_drawn:
            weights = np.ones(rows.size)
            weights[n_scored:] = rules.new_item_weight
        is_mixed = bool(rules.diversity_percent) and rows.size <= MOST_MIXED
        return Candidates(
            values=values,
            categories=self.catalogue.category[rows],
            promoted=None if self.applied.promoted is None else self.applied.promoted[rows],
            weights=weights,
            features=self.catalogue.features(rows) if is_mixed else None,
        )

    def _places(self) -> Places:
        return Places(
            k=self.k,
            filled=len(self.places),
            used=Counter(int(self.catalogue.category[place.row]) for place in self.places),
            max_per_category=self.plan.filters.max_per_category,
        )

    def _put(self, places: list[_Place]) -> None:
        self.places += places
        self.allowed[[place.row for place in places]] = False
        if places and places[0].source != self.plan.strategy:
            self.fallback = self.fallback or places[0].source


def _placed(offer: _Offer, index: int, chance: float, *, is_explored: bool) -> _Place:
    """A place for the model's item `index`, or for the catalogue's row −1 − index, which the model knows not."""
    value = float(offer.usable[index]) if index >= 0 else float(NO_SCORE)
    row = int(offer.rows[index]) if index >= 0 else -1 - index
    if is_explored or value == NO_SCORE:
        reason = Reason("explored" if is_explored else "editorial")
    else:
        reason = _reason(offer.scored, index)
    return _Place(row, 0.0 if value == NO_SCORE else value, chance, reason, offer.slug)


def _scaled(scores: Scores) -> Scores:
    """Scores on [0, 1]; equal ones are all 1."""
    if not scores.size:
        return scores
    low, high = scores.min(), scores.max()
    if high <= low:
        return np.ones_like(scores)
    scaled: Scores = (scores - low) / (high - low)
    return scaled


def _joined(first: NDArray[np.intp], second: NDArray[np.intp]) -> NDArray[np.intp]:
    return np.concatenate([first, second[~np.isin(second, first)]])


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


def _needed_profile(
    model: LoadedModel, events: Iterable[RecentEvent], event_weights: Mapping[str, float], tokens: tuple[str, ...]
) -> Profile:
    profile, capabilities = build_profile(model, events, event_weights), model.algorithm.capabilities
    if tokens and capabilities.user_tokens:
        return replace(profile, tokens=tokens)
    if profile.is_empty and capabilities.personalized:
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
        propensity=place.propensity,
        reason=place.reason,
        source=place.source,
    )
