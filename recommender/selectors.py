"""Reads of the recommender, for pages and other apps."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from django.db.models import Count, OuterRef, Q, Subquery
from django.db.models.fields.json import KeyTextTransform
from django.utils.translation import gettext as _

from recommender.choices import FAILURES, FallbackReason, ModelStatus, ShortReason
from recommender.models import (
    ChangeLog,
    EventWeight,
    Item,
    ModelVersion,
    Slate,
    Strategy,
    StrategyHold,
    StrategyVersion,
)
from recommender.reports import FallbackRate, Reason

if TYPE_CHECKING:
    from django.db.models import QuerySet

LATEST_MODELS = 50


@dataclass(frozen=True, slots=True)
class StrategyRow:
    """A strategy with what a list shows of it."""

    strategy: Strategy
    published: ModelVersion | None
    latest: ModelVersion | None


@dataclass(frozen=True, slots=True)
class HeldStrategy:
    """A version that somebody keeps, and what serves it."""

    strategy: Strategy
    version: StrategyVersion
    model: ModelVersion | None


def list_strategies() -> list[StrategyRow]:
    """All strategies by name, with their serving and their latest model; three queries."""
    latest = ModelVersion.objects.filter(strategy=OuterRef("pk")).order_by("-started_at", "-pk").values("pk")[:1]
    strategies = list(
        Strategy.objects.select_related("current_version").annotate(latest_id=Subquery(latest)).order_by("name", "pk")
    )
    latest_ids = [strategy.latest_id for strategy in strategies if strategy.latest_id]
    wanted = ModelVersion.objects.filter(Q(pk__in=latest_ids) | Q(status=ModelStatus.PUBLISHED))
    models = list(wanted.select_related("strategy_version"))
    published = {model.strategy_id: model for model in models if model.status == ModelStatus.PUBLISHED}
    by_id = {model.pk: model for model in models}
    return [StrategyRow(strategy, published.get(strategy.pk), by_id.get(strategy.latest_id)) for strategy in strategies]


def list_strategy_choices() -> list[tuple[str, str]]:
    """(slug, name) of active strategies, for forms of other apps."""
    return list(Strategy.objects.filter(is_active=True).order_by("name", "pk").values_list("slug", "name"))


def get_strategy(*, slug: str) -> Strategy | None:
    """The strategy with its current version."""
    return Strategy.objects.select_related("current_version").filter(slug=slug).first()


def list_models(*, strategy: Strategy) -> QuerySet[ModelVersion]:
    """Its latest models, newest first."""
    return (
        ModelVersion.objects.filter(strategy=strategy)
        .select_related("strategy_version")
        .order_by("-started_at", "-pk")[:LATEST_MODELS]
    )


def can_roll_back(*, strategy: Strategy) -> bool:
    """Whether a model served before the present one."""
    return ModelVersion.objects.filter(strategy=strategy, status=ModelStatus.RETIRED).exists()


def list_changes(*, object_type: str, object_id: str, limit: int = 20) -> QuerySet[ChangeLog]:
    """The latest changes of one object."""
    changes = ChangeLog.objects.filter(object_type=object_type, object_id=object_id)
    return changes.select_related("actor").order_by("-at", "-pk")[:limit]


def list_event_weights() -> QuerySet[EventWeight]:
    """All event weights, heaviest first."""
    return EventWeight.objects.order_by("-weight", "event_type")


def get_item(*, item_id: str) -> Item | None:
    """One item of the catalogue."""
    return Item.objects.filter(item_id=item_id).first()


def list_items(*, category: str = "", limit: int = 24, offset: int = 0) -> list[Item]:
    """Active items, most popular first."""
    items = Item.objects.filter(is_active=True)
    if category:
        items = items.filter(category=category)
    return list(items.order_by("-popularity", "pk")[offset : offset + limit])


def items(*, category: str = "", is_active: bool | None = None, search: str = "") -> QuerySet[Item]:
    """The catalogue, active or not."""
    rows = Item.objects.all()
    if category:
        rows = rows.filter(category=category)
    if is_active is not None:
        rows = rows.filter(is_active=is_active)
    return rows.filter(title__icontains=search) if search else rows


def strategies(*, is_active: bool | None = None) -> QuerySet[Strategy]:
    """Strategies with their versions in force."""
    rows = Strategy.objects.select_related("current_version")
    return rows if is_active is None else rows.filter(is_active=is_active)


def models_of(*, strategy: Strategy, status: str = "") -> QuerySet[ModelVersion]:
    """Every training of a strategy."""
    rows = ModelVersion.objects.filter(strategy=strategy).select_related("strategy_version")
    return rows.filter(status=status) if status else rows


def changes(*, strategy: str = "") -> QuerySet[ChangeLog]:
    """The log of this app's changes."""
    rows = ChangeLog.objects.select_related("actor").defer("snapshot")
    return rows.filter(object_type="strategy", object_id=strategy) if strategy else rows


def list_categories() -> list[str]:
    """Categories with an active item, by name."""
    named = Item.objects.filter(is_active=True).exclude(category="")
    return list(named.order_by("category").values_list("category", flat=True).distinct())


def item_titles(*, item_ids: Sequence[str]) -> dict[str, str]:
    """Titles by item id; an item that has left the catalogue is missing."""
    return dict(Item.objects.filter(item_id__in=set(item_ids)).values_list("item_id", "title"))


def item_labels() -> Iterator[tuple[str, str, str]]:
    """Yield the item id, category and brand of the whole catalogue, a few thousand rows at a time."""
    yield from Item.objects.order_by("pk").values_list("item_id", "category", "brand").iterator(5_000)


def item_categories(*, item_ids: Collection[str]) -> dict[str, str]:
    """The category of each of these items that is in the catalogue."""
    found: dict[str, str] = {}
    wanted = sorted(item_ids)
    for first in range(0, len(wanted), 500):
        rows = Item.objects.filter(item_id__in=wanted[first : first + 500])
        found.update(rows.values_list("item_id", "category"))
    return found


def list_slates(*, user_id: str, limit: int = 20) -> QuerySet[Slate]:
    """The latest slates of one person."""
    return (
        Slate.objects.filter(user_id=user_id)
        .select_related("strategy_version__strategy")
        .order_by("-at", "-pk")[:limit]
    )


def get_slate(*, recommendation_id: str) -> Slate | None:
    """The slate a click refers to."""
    return Slate.objects.filter(recommendation_id=recommendation_id).first()


def fallback_rates(*, by: str, held_by: str = "", since: int = 0, until: int | None = None) -> list[FallbackRate]:
    """Slates and people with a fallback, by a context key (`arm`, say): a guard metric. One query.

    `held_by` looks at one experiment's slates only; [since, until) in µs.
    """
    slates = Slate.objects.filter(at__gte=since)
    if until is not None:
        slates = slates.filter(at__lt=until)
    if held_by:
        slates = slates.filter(held_by=held_by)
    rows = (
        slates.annotate(label=KeyTextTransform(by, "context"))
        .values("label")
        .annotate(
            slates=Count("pk"),
            fallbacks=Count("pk", filter=~Q(fallback="")),
            people=Count("user_id", distinct=True),
            people_with_fallback=Count("user_id", distinct=True, filter=~Q(fallback="")),
            people_with_failure=Count("user_id", distinct=True, filter=Q(fallback_reason__in=FAILURES)),
        )
        .order_by("label")
    )
    return [
        FallbackRate(
            label=str(row["label"] or ""),
            slates=row["slates"],
            fallbacks=row["fallbacks"],
            people=row["people"],
            people_with_fallback=row["people_with_fallback"],
            people_with_failure=row["people_with_failure"],
        )
        for row in rows
    ]


def fallback_reasons(*, held_by: str) -> list[tuple[str, int]]:
    """Why fallbacks filled an experiment's slates, in words, the most frequent first."""
    rows = (
        Slate.objects.filter(held_by=held_by)
        .exclude(fallback="")
        .values_list("fallback_reason")
        .annotate(n=Count("pk"))
    )
    return [(fallback_text(code=code), n) for code, n in rows.order_by("-n", "fallback_reason")]


def held_versions(*, holder: str) -> dict[str, HeldStrategy]:
    """What a holder keeps, by slug, with the model that serves it; two queries."""
    holds = StrategyHold.objects.filter(holder=holder).select_related("strategy", "strategy_version")
    versions = {hold.strategy_version_id: hold for hold in holds}
    published = ModelVersion.objects.filter(
        strategy__in=[hold.strategy_id for hold in versions.values()], status=ModelStatus.PUBLISHED
    ).order_by("published_at", "pk")
    models: dict[int, ModelVersion] = {}
    for model in published:
        known = models.get(model.strategy_id)
        if known is None or known.strategy_version_id not in versions:
            models[model.strategy_id] = model
    return {
        hold.strategy.slug: HeldStrategy(hold.strategy, hold.strategy_version, models.get(hold.strategy_id))
        for hold in versions.values()
    }


@dataclass(frozen=True, slots=True)
class Alarm:
    """A model that should serve and cannot."""

    slug: str
    name: str
    model_id: int
    since: datetime


def model_alarms() -> list[Alarm]:
    """Published models whose file a serving process could not read. One query."""
    broken = ModelVersion.objects.filter(status=ModelStatus.PUBLISHED, unreadable_since__isnull=False)
    rows = broken.order_by("unreadable_since", "pk").values_list(
        "strategy__slug", "strategy__name", "pk", "unreadable_since"
    )
    return [Alarm(slug, name, pk, since) for slug, name, pk, since in rows if since is not None]


def list_holds(*, strategy: Strategy) -> QuerySet[StrategyHold]:
    """Who keeps which version of a strategy, the longest first."""
    return strategy.holds.filter(until=None).select_related("strategy_version").order_by("since", "pk")


def reason_text(*, reason: Reason, titles: Mapping[str, str] | None = None) -> str:
    """A reason in words; `titles` names the items it refers to."""
    names = [(titles or {}).get(item_id, item_id) for item_id in reason.item_ids]
    if reason.code == "because_of" and names:
        return _("Because you looked at %(items)s") % {"items": _(" and ").join(names)}
    words = {
        "because_of": _("Fits what you looked at"),
        "similar_people": _("People with a similar taste chose it"),
        "popular": _("Popular now"),
        "editorial": _("From our range"),
        "explored": _("Something new"),
        "recent": _("You looked at it recently"),
    }
    return words[reason.code]


def fallback_text(*, code: str) -> str:
    """Why a fallback was used or a slate is short, in words."""
    known = {**dict(FallbackReason.choices), **dict(ShortReason.choices)}
    return str(known.get(code, code))
