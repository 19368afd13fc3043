"""What a serving process remembers between requests: strategies, the catalogue, loaded models.

Each is refreshed at most every few seconds, and an old one is used when the database does not answer.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
from django.db import DatabaseError
from django.db.models import Count, Max

from recommender.choices import ModelStatus
from recommender.errors import RecommenderError, UnknownStrategy
from recommender.models import EventWeight, Item, ModelVersion, Strategy, StrategyHold
from recommender.registry import build, capabilities_of
from recommender.services.artefacts import read_model
from recommender.services.assortment import DRAFT, Catalogue, build_catalogue
from recommender.services.bounded import TookTooLong, call_bounded
from recommender.services.filters import Filters, decode_filters
from recommender.services.rules import Rules, decode_rules

if TYPE_CHECKING:
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

MAX_PLANS = 1_000
"""Plans per process: strategies times their holders, not requests."""

COLD_SECONDS = 2.0
"""The first read of a plan or of the catalogue may take so long, whatever the budget: an empty slate would be the
alternative. A campaign's held plan is new to every process when the campaign starts."""

UNHURRIED = math.inf
"""Seconds for callers without a budget: they wait in their own thread."""


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

    strategy: str
    version_id: int
    version_number: int
    held_by: str
    """Who keeps this version; empty for the current one."""
    filters: Filters
    rules: Rules
    chain: tuple[Link, ...]
    event_weights: Mapping[str, float]

    @property
    def describes_people(self) -> bool:
        """Whether a model of the chain goes by what is known of people besides their events."""
        models = (link.model for link in self.chain if link.model is not None)
        return any(capabilities_of(model.algorithm).user_tokens for model in models)


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
_plans: dict[tuple[str, str], _Entry[Plan]] = {}
_catalogue: list[_Entry[Catalogue]] = []
_first_asked: dict[str, float] = {}
_models: dict[tuple[int, str], LoadedModel] = {}
_broken: dict[tuple[int, str], tuple[float, RecommenderError]] = {}


def forget_snapshots() -> None:
    """Drops everything remembered: for tests, and after a bulk change in the same process."""
    with _lock:
        _plans.clear()
        _catalogue.clear()
        _first_asked.clear()
        _models.clear()
        _broken.clear()


def plan_for(slug: str, *, held_by: str = "", seconds: float = UNHURRIED) -> Plan:
    """The plan of a strategy, in the version its holder keeps or else the current one.

    Raises `UnknownStrategy`, or `DatabaseError` when there is not even an old plan.
    """
    key = (slug, held_by)

    def keep(fresh: _Entry[Plan]) -> None:
        while len(_plans) >= MAX_PLANS:
            del _plans[next(iter(_plans))]
        _plans[key] = fresh

    return _current(f"{slug} {held_by}", _plans.get(key), lambda: _read_plan(slug, held_by), keep, seconds)


def current_catalogue(*, seconds: float = UNHURRIED) -> Catalogue:
    """The catalogue; raises `DatabaseError` when there is not even an old one."""
    entry = _catalogue[0] if _catalogue else None

    def keep(fresh: _Entry[Catalogue]) -> None:
        _catalogue[:] = [fresh]

    return _current("catalogue", entry, lambda: _read_catalogue(entry), keep, seconds)


def remembered_model(served: ServedModel) -> LoadedModel | None:
    """The model if this process has read it; raises why it could not be read a moment ago."""
    key = (served.model_id, served.sha256)
    model = _models.get(key)
    if model is None and key in _broken and time.monotonic() - _broken[key][0] < RETRY_BROKEN:
        raise _broken[key][1]
    return model


def loaded_model(served: ServedModel) -> LoadedModel:
    """The model, read from disk at most once per process; raises `UnreadableModel`, `UnknownAlgorithm`."""
    model = remembered_model(served)
    if model is not None:
        return model
    key = (served.model_id, served.sha256)
    try:
        model = _load(served)
    except RecommenderError as error:
        logger.exception("model %s cannot be used", served.model_id)
        _broken[key] = (time.monotonic(), error)
        raise_alarm(served.model_id)
        raise
    if key in _broken:
        end_alarm(served.model_id)
    with _lock:
        _broken.pop(key, None)
        while len(_models) >= MAX_MODELS:
            del _models[next(iter(_models))]
        _models[key] = model
    return model


def raise_alarm(model_id: int) -> None:
    """Notes in the database that a model's file cannot be read, for pages and the health check."""
    try:
        ModelVersion.objects.filter(pk=model_id, unreadable_since=None).update(unreadable_since=datetime.now(UTC))
    except DatabaseError:
        logger.exception("the alarm for model %s is not stored", model_id)


def end_alarm(model_id: int) -> None:
    """The file can be read again."""
    try:
        ModelVersion.objects.filter(pk=model_id).update(unreadable_since=None)
    except DatabaseError:
        logger.exception("the alarm for model %s is not taken back", model_id)


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


def _cold_until(name: str) -> float:
    with _lock:
        if name not in _first_asked and len(_first_asked) > MAX_PLANS:
            del _first_asked[next(iter(_first_asked))]
        return _first_asked.setdefault(name, time.monotonic()) + COLD_SECONDS


def _current(
    name: str,
    entry: _Entry[Kept] | None,
    read: Callable[[], _Entry[Kept]],
    keep: Callable[[_Entry[Kept]], None],
    seconds: float,
) -> Kept:
    """What is remembered if it is young; else what the database says within `seconds`, or what is remembered.

    A read that comes late is kept when it comes. One caller at a time asks anew: the others go on with the old.
    """
    if entry is not None:
        if time.monotonic() - entry.checked < MAX_AGE:
            return entry.value
        entry.checked = time.monotonic()

    else:
        seconds = max(seconds, _cold_until(name) - time.monotonic())

    def refresh() -> Kept:
        fresh = read()
        with _lock:
            keep(fresh)
        return fresh.value

    try:
        return call_bounded(refresh, seconds=seconds)
    except (DatabaseError, TookTooLong) as error:
        if entry is None:
            raise error if isinstance(error, DatabaseError) else DatabaseError(str(error)) from error
        return entry.value


def _read_plan(slug: str, held_by: str = "") -> _Entry[Plan]:
    """Asks the database for a plan: strategy, holds, models and weights."""
    strategy = Strategy.objects.select_related("current_version").filter(slug=slug).first()
    if strategy is None or strategy.current_version is None:
        raise UnknownStrategy(f"no strategy has the slug {slug!r}")
    holds = (
        StrategyHold.objects.filter(holder=held_by, until=None).select_related("strategy_version") if held_by else ()
    )
    held = {hold.strategy_id: hold.strategy_version for hold in holds}
    version = held.get(strategy.pk, strategy.current_version)
    slugs = [slug, *(name for name in version.fallbacks if name != slug)]
    links = {row.slug: row for row in Strategy.objects.filter(slug__in=slugs)}
    wanted = {name: held[row.pk].pk if row.pk in held else row.current_version_id for name, row in links.items()}
    models = served_models(wanted)
    plan = Plan(
        strategy=slug,
        version_id=version.pk,
        version_number=version.number,
        held_by=held_by if strategy.pk in held else "",
        filters=decode_filters(version.filters),
        rules=decode_rules(version.rules),
        chain=tuple(Link(name, models.get(name), name in links and links[name].is_active) for name in slugs),
        event_weights=dict(EventWeight.objects.filter(weight__gt=0).values_list("event_type", "weight")),
    )
    return _Entry(plan, time.monotonic())


def draft_plan(
    *,
    slug: str,
    algorithm: str,
    parameters: Mapping[str, float | int | str | bool],
    filters: Filters,
    rules: Rules,
    fallbacks: Sequence[str],
) -> Plan:
    """A plan for a design that is not stored, with a published model that fits it: its own strategy's first."""
    links = {row.slug: row for row in Strategy.objects.filter(slug__in=fallbacks)}
    models = served_models({name: row.current_version_id for name, row in links.items()})
    fitting = [
        model
        for model in ModelVersion.objects.filter(
            status=ModelStatus.PUBLISHED, strategy_version__algorithm=algorithm
        ).select_related("strategy", "strategy_version")
        if model.parameters == dict(parameters)
    ]
    own = max(fitting, key=lambda model: (model.strategy.slug == slug, model.pk), default=None)
    chain = [Link(slug, _served(own) if own else None, is_active=True)]
    return Plan(
        strategy=slug,
        version_id=DRAFT,
        version_number=0,
        held_by="",
        filters=filters,
        rules=rules,
        chain=(*chain, *(Link(name, models.get(name), links[name].is_active) for name in fallbacks)),
        event_weights=dict(EventWeight.objects.filter(weight__gt=0).values_list("event_type", "weight")),
    )


def _served(model: ModelVersion) -> ServedModel:
    return ServedModel(
        model_id=model.pk,
        algorithm=model.strategy_version.algorithm,
        parameters=model.strategy_version.parameters,
        path=model.path,
        sha256=model.sha256,
    )


def served_models(wanted: Mapping[str, int | None]) -> dict[str, ServedModel]:
    """For slugs with the version in use: that version's published model, else the one the strategy still has."""
    found: dict[str, ModelVersion] = {}
    published = ModelVersion.objects.filter(strategy__slug__in=wanted, status=ModelStatus.PUBLISHED)
    for model in published.select_related("strategy", "strategy_version").order_by("published_at", "pk"):
        slug = model.strategy.slug
        known = found.get(slug)
        if known is None or known.strategy_version_id != wanted[slug]:
            found[slug] = model
    return {slug: _served(model) for slug, model in found.items()}


def _read_catalogue(known: _Entry[Catalogue] | None) -> _Entry[Catalogue]:
    state = Item.objects.aggregate(n=Count("pk"), newest=Max("updated_at"), last=Max("pk"))
    stamp = (state["n"], state["newest"], state["last"])
    if known is not None and known.stamp == stamp:
        return _Entry(known.value, time.monotonic(), stamp)
    rows = Item.objects.order_by("-popularity", "pk").defer("text", "attributes")
    catalogue = build_catalogue(rows.iterator(chunk_size=2_000), generation=known.value.generation + 1 if known else 0)
    return _Entry(catalogue, time.monotonic(), stamp)
