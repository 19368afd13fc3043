"""What a serving process remembers between requests: strategies, the catalogue, loaded models.

Each is refreshed at most every few seconds, and an old one is used when the database does not answer.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
from django.db import DatabaseError
from django.db.models import Count, Max

from recommender.choices import ModelStatus
from recommender.errors import RecommenderError, UnknownStrategy
from recommender.models import EventWeight, Item, ModelVersion, Strategy
from recommender.registry import build
from recommender.services.artefacts import read_model
from recommender.services.filters import Filters, decode_filters

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

    from recommender.algorithms.base import Algorithm, Arrays

Kept = TypeVar("Kept")

logger = logging.getLogger(__name__)

MAX_AGE = 2.0
"""Seconds for which strategies and the catalogue's state are not asked for again: a published model or a switched-off
strategy takes effect within it, in every process."""

MAX_MODELS = 32
"""Loaded models per process; they are memory-mapped, an unused one costs address space only."""

RETRY_BROKEN = 30.0
"""Seconds before an unreadable model file is looked at again: checking a large one takes longer than a page may."""

FOREVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class ServedModel:
    """The published model of a strategy, as the database describes it."""

    model_id: int
    algorithm: str
    parameters: Mapping[str, float | int | str | bool]
    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Link:
    """One strategy of a fallback chain."""

    slug: str
    model: ServedModel | None
    is_active: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything the database says about serving one strategy."""

    version_id: int
    version_number: int
    filters: Filters
    chain: tuple[Link, ...]
    event_weights: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class CatalogueItem:
    """What a slate shows of an item."""

    item_id: str
    title: str
    category: str
    price: int | None
    currency: str
    url: str
    image: str
    tags: frozenset[str]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All items by popularity, as columns."""

    generation: int
    items: tuple[CatalogueItem, ...]
    row_of: Mapping[str, int]
    is_active: NDArray[np.bool_]
    published: NDArray[np.int64]
    expires: NDArray[np.int64]

    def allowed(self, *, at: int, filters: Filters) -> NDArray[np.bool_]:
        """Which items may be shown at this time by these filters (seen items are another matter)."""
        mask: NDArray[np.bool_] = self.is_active & (self.published <= at) & (at < self.expires)
        if not (
            filters.categories
            or filters.exclude_categories
            or filters.exclude_tags
            or filters.price_min is not None
            or filters.price_max is not None
        ):
            return mask
        mask &= np.fromiter((_passes(item, filters) for item in self.items), dtype=bool, count=len(self.items))
        return mask


@dataclass(slots=True)
class LoadedModel:
    """A model ready to score, and where its items stand in the catalogue."""

    model_id: int
    algorithm: Algorithm
    arrays: Arrays
    item_ids: tuple[str, ...]
    index_of: Mapping[str, int]
    _rows: tuple[int, NDArray[np.int64]] | None = field(default=None)

    def catalogue_rows(self, catalogue: Catalogue) -> NDArray[np.int64]:
        """For each of the model's items its row in the catalogue, −1 if it has left it."""
        known = self._rows
        if known is None or known[0] != catalogue.generation:
            rows = np.fromiter(
                (catalogue.row_of.get(name, -1) for name in self.item_ids), dtype=np.int64, count=len(self.item_ids)
            )
            known = self._rows = (catalogue.generation, rows)
        return known[1]


@dataclass(slots=True)
class _Entry(Generic[Kept]):
    value: Kept
    checked: float
    stamp: object = None


_lock = threading.RLock()
_plans: dict[str, _Entry[Plan]] = {}
_catalogue: list[_Entry[Catalogue]] = []
_models: dict[tuple[int, str], LoadedModel] = {}
_broken: dict[tuple[int, str], tuple[float, RecommenderError]] = {}


def forget_snapshots() -> None:
    """Drops everything remembered: for tests, and after a bulk change in the same process."""
    with _lock:
        _plans.clear()
        _catalogue.clear()
        _models.clear()
        _broken.clear()


def plan_for(slug: str) -> Plan:
    """The plan of a strategy; raises `UnknownStrategy`, or `DatabaseError` when there is not even an old one."""
    entry = _plans.get(slug)
    if entry is not None and time.monotonic() - entry.checked < MAX_AGE:
        return entry.value
    return _refreshed(entry, lambda: _read_plan(slug), lambda fresh: _plans.__setitem__(slug, fresh))


def current_catalogue() -> Catalogue:
    """The catalogue; raises `DatabaseError` when there is not even an old one."""
    entry = _catalogue[0] if _catalogue else None
    if entry is not None and time.monotonic() - entry.checked < MAX_AGE:
        return entry.value

    def keep(fresh: _Entry[Catalogue]) -> None:
        _catalogue[:] = [fresh]

    return _refreshed(entry, lambda: _read_catalogue(entry), keep)


def loaded_model(served: ServedModel) -> LoadedModel:
    """The model, read from disk at most once per process; raises `UnreadableModel`, `UnknownAlgorithm`."""
    key = (served.model_id, served.sha256)
    model = _models.get(key)
    if model is not None:
        return model
    if key in _broken and time.monotonic() - _broken[key][0] < RETRY_BROKEN:
        raise _broken[key][1]
    try:
        model = _load(served)
    except RecommenderError as error:
        logger.exception("model %s cannot be used", served.model_id)
        _broken[key] = (time.monotonic(), error)
        raise
    with _lock:
        _broken.pop(key, None)
        while len(_models) >= MAX_MODELS:
            del _models[next(iter(_models))]
        _models[key] = model
    return model


def _load(served: ServedModel) -> LoadedModel:
    stored = read_model(path=served.path, sha256=served.sha256)
    names = tuple(stored.item_ids.tolist())
    return LoadedModel(
        model_id=served.model_id,
        algorithm=build(served.algorithm, served.parameters),
        arrays=stored.arrays,
        item_ids=names,
        index_of={name: index for index, name in enumerate(names)},
    )


def micros(moment: datetime) -> int:
    """Microseconds since the epoch."""
    return int(moment.timestamp() * 1_000_000)


def _refreshed(
    entry: _Entry[Kept] | None, read: Callable[[], _Entry[Kept]], keep: Callable[[_Entry[Kept]], None]
) -> Kept:
    try:
        fresh = read()
    except DatabaseError:
        if entry is None:
            raise
        entry.checked = time.monotonic()
        return entry.value
    with _lock:
        keep(fresh)
    return fresh.value


def _read_plan(slug: str) -> _Entry[Plan]:
    strategy = Strategy.objects.select_related("current_version").filter(slug=slug).first()
    if strategy is None or strategy.current_version is None:
        raise UnknownStrategy(f"no strategy has the slug {slug!r}")
    version = strategy.current_version
    slugs = [slug, *(name for name in version.fallbacks if name != slug)]
    active = dict(Strategy.objects.filter(slug__in=slugs).values_list("slug", "is_active"))
    published = {
        model.strategy.slug: ServedModel(
            model_id=model.pk,
            algorithm=model.strategy_version.algorithm,
            parameters=model.strategy_version.parameters,
            path=model.path,
            sha256=model.sha256,
        )
        for model in ModelVersion.objects.filter(strategy__slug__in=slugs, status=ModelStatus.PUBLISHED).select_related(
            "strategy", "strategy_version"
        )
    }
    plan = Plan(
        version_id=version.pk,
        version_number=version.number,
        filters=decode_filters(version.filters),
        chain=tuple(Link(name, published.get(name), active.get(name, False)) for name in slugs),
        event_weights=dict(EventWeight.objects.filter(weight__gt=0).values_list("event_type", "weight")),
    )
    return _Entry(plan, time.monotonic())


def _read_catalogue(known: _Entry[Catalogue] | None) -> _Entry[Catalogue]:
    state = Item.objects.aggregate(n=Count("pk"), newest=Max("updated_at"), last=Max("pk"))
    stamp = (state["n"], state["newest"], state["last"])
    if known is not None and known.stamp == stamp:
        return _Entry(known.value, time.monotonic(), stamp)
    rows = list(Item.objects.order_by("-popularity", "pk"))
    items = tuple(
        CatalogueItem(
            item_id=row.item_id,
            title=row.title,
            category=row.category,
            price=row.price,
            currency=row.currency,
            url=row.url,
            image=row.image,
            tags=frozenset(str(tag) for tag in row.tags),
        )
        for row in rows
    )
    catalogue = Catalogue(
        generation=known.value.generation + 1 if known else 0,
        items=items,
        row_of={item.item_id: index for index, item in enumerate(items)},
        is_active=np.array([row.is_active for row in rows], dtype=bool),
        published=np.array([micros(row.published_at) if row.published_at else 0 for row in rows], dtype=np.int64),
        expires=np.array([micros(row.expires_at) if row.expires_at else FOREVER for row in rows], dtype=np.int64),
    )
    return _Entry(catalogue, time.monotonic(), stamp)


def _passes(item: CatalogueItem, filters: Filters) -> bool:
    if filters.categories and item.category not in filters.categories:
        return False
    if item.category in filters.exclude_categories or not item.tags.isdisjoint(filters.exclude_tags):
        return False
    if filters.price_min is not None and (item.price is None or item.price < filters.price_min):
        return False
    return filters.price_max is None or (item.price is not None and item.price <= filters.price_max)
