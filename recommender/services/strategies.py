"""Making and revising strategies and event weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, transaction
from django.utils.text import slugify
from django.utils.translation import gettext_noop

from recommender.algorithms.base import Value
from recommender.errors import InvalidStrategy, UnknownStrategy
from recommender.models import EventWeight, Strategy, StrategyVersion
from recommender.registry import build
from recommender.services.changelog import record_change
from recommender.services.filters import Filters, decode_filters, encode_filters
from recommender.services.rules import Rules, check_rules, decode_rules, encode_rules

if TYPE_CHECKING:
    from django.contrib.auth.models import User

RESERVED = frozenset(("new", "preview", "compare"))
"""Addresses beside those of strategies."""

DEFAULT_EVENT_WEIGHTS = {"Product Viewed": 1.0, "Product Added": 3.0, "Order Completed": 5.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyDesign:
    """How a strategy works; becomes one immutable version."""

    algorithm: str
    parameters: Mapping[str, Value] = field(default_factory=dict)
    filters: Filters = field(default_factory=Filters)
    rules: Rules = field(default_factory=Rules)
    fallbacks: Sequence[str] = ()
    window_days: int | None = None
    leave_out_treated: bool = False


@dataclass(frozen=True, slots=True)
class _Default:
    slug: str
    name: str
    description: str
    design: StrategyDesign


DEFAULTS = (
    _Default(
        "popularity",
        gettext_noop("Popular now"),
        gettext_noop("What most people choose, recent choices counting more."),
        StrategyDesign(algorithm="popularity"),
    ),
    _Default(
        "trending",
        gettext_noop("Trending now"),
        gettext_noop("What moves these days: a choice counts half after two days."),
        StrategyDesign(algorithm="popularity", parameters={"half_life_days": 2.0}, fallbacks=("popularity",)),
    ),
    _Default(
        "item-knn",
        gettext_noop("Others also chose"),
        gettext_noop("Items chosen by people who chose what this person chose. Works from the first event on."),
        StrategyDesign(algorithm="item-knn", fallbacks=("popularity",)),
    ),
    _Default(
        "user-knn",
        gettext_noop("People like you"),
        gettext_noop("What people with a similar taste chose."),
        StrategyDesign(algorithm="user-knn", fallbacks=("item-knn", "popularity")),
    ),
    _Default(
        "content",
        gettext_noop("More of the same kind"),
        gettext_noop("Items that resemble what this person chose. Knows new items from their first day."),
        StrategyDesign(algorithm="content", fallbacks=("popularity",)),
    ),
)


def create_strategy(
    *,
    slug: str,
    name: str,
    design: StrategyDesign,
    at: datetime,
    description: str = "",
    retrain_hours: int = 24,
    actor: User | None = None,
) -> Strategy:
    """A new strategy with its first version."""
    check_design(design, slug=slug)
    if slug in RESERVED:
        raise InvalidStrategy(f"the slug {slug!r} is an address beside those of strategies")
    try:
        with transaction.atomic():
            strategy = Strategy.objects.create(
                slug=slug, name=name, description=description, retrain_hours=retrain_hours, created_at=at
            )
            _add_version(strategy, design, number=1, at=at, actor=actor, transition="create")
    except IntegrityError as error:
        raise InvalidStrategy(f"the slug {slug!r} is taken") from error
    return strategy


def revise_strategy(*, slug: str, design: StrategyDesign, at: datetime, actor: User | None = None) -> StrategyVersion:
    """The next version of a strategy; the published model serves on until one of the new version is trained."""
    check_design(design, slug=slug)
    with transaction.atomic():
        strategy = Strategy.objects.select_for_update().filter(slug=slug).first()
        if strategy is None:
            raise UnknownStrategy(f"no strategy has the slug {slug!r}")
        last = strategy.versions.order_by("-number").first()
        return _add_version(
            strategy, design, number=last.number + 1 if last else 1, at=at, actor=actor, transition="revise"
        )


def ensure_default_strategies(*, at: datetime) -> None:
    """The strategies and event weights a new installation starts with; changes nothing that exists."""
    for event_type, weight in DEFAULT_EVENT_WEIGHTS.items():
        ensure_event_weight(event_type=event_type, weight=weight)
    existing = set(Strategy.objects.values_list("slug", flat=True))
    for default in DEFAULTS:
        if default.slug not in existing:
            create_strategy(
                slug=default.slug, name=default.name, description=default.description, design=default.design, at=at
            )


def free_slug(name: str) -> str:
    """A slug of the name that no strategy has."""
    base = slugify(name)[:50] or "strategy"
    taken = RESERVED | set(Strategy.objects.filter(slug__startswith=base).values_list("slug", flat=True))
    return next(one for one in (base, *(f"{base}-{n}" for n in range(2, len(taken) + 3))) if one not in taken)


def ensure_event_weight(*, event_type: str, weight: float) -> None:
    """A weight for a type of event that has none; one that somebody set stays."""
    EventWeight.objects.get_or_create(event_type=event_type, defaults={"weight": weight})


def design_of(version: StrategyVersion) -> StrategyDesign:
    """The design that a version stores."""
    return StrategyDesign(
        algorithm=version.algorithm,
        parameters=version.parameters,
        filters=decode_filters(version.filters),
        rules=decode_rules(version.rules),
        fallbacks=tuple(version.fallbacks),
        window_days=version.window_days,
        leave_out_treated=version.leave_out_treated,
    )


def check_design(design: StrategyDesign, *, slug: str) -> None:
    """Raises `InvalidStrategy` (or `UnknownAlgorithm`) saying what does not hold together."""
    build(design.algorithm, design.parameters)
    check_rules(design.rules)
    if slug in design.fallbacks:
        raise InvalidStrategy(f"the strategy {slug!r} cannot be its own fallback")
    missing = set(design.fallbacks) - set(
        Strategy.objects.filter(slug__in=design.fallbacks).values_list("slug", flat=True)
    )
    if missing:
        raise InvalidStrategy(f"unknown fallback {', '.join(sorted(missing))}")


def _add_version(
    strategy: Strategy, design: StrategyDesign, *, number: int, at: datetime, actor: User | None, transition: str
) -> StrategyVersion:
    stored: dict[str, Any] = {
        "algorithm": design.algorithm,
        "parameters": dict(design.parameters),
        "filters": encode_filters(design.filters),
        "rules": encode_rules(design.rules),
        "fallbacks": list(design.fallbacks),
        "window_days": design.window_days,
        "leave_out_treated": design.leave_out_treated,
    }
    version = StrategyVersion.objects.create(strategy=strategy, number=number, created_at=at, **stored)
    strategy.current_version = version
    strategy.save(update_fields=["current_version"])
    record_change(
        object_type="strategy",
        object_id=strategy.slug,
        transition=transition,
        actor=actor,
        at=at,
        message=f"version {number}",
        snapshot=stored,
    )
    return version
