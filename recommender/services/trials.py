"""Slates for looking at: what a design would show to some people; two strategies side by side. Nothing is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from recommender.models import ModelVersion
from recommender.registry import build
from recommender.reports import Recommendation, SlateItem
from recommender.selectors import fallback_text, get_strategy, item_titles, reason_text
from recommender.services.events import interactions_port
from recommender.services.serving import recommend, recommend_by
from recommender.services.snapshots import draft_plan
from recommender.services.strategies import StrategyDesign, check_design

SAMPLE = 4
"""People whose slates are shown, beside a stranger."""

SHOWN = 5
UNHURRIED_MS = 2_000


@dataclass(frozen=True, slots=True)
class TrialItem:
    """One place, its reason in words; `is_shared` where the slate beside it has the item too."""

    item: SlateItem
    reason: str
    is_shared: bool = False


@dataclass(frozen=True, slots=True)
class TrialSlate:
    """What one person would get."""

    user_id: str
    """Empty: a stranger."""
    items: tuple[TrialItem, ...]
    fallback: str
    fallback_reason: str


@dataclass(frozen=True, slots=True)
class PersonPair:
    """One person's slates of two strategies."""

    user_id: str
    left: TrialSlate
    right: TrialSlate
    shared: int


@dataclass(frozen=True, slots=True)
class StrategyPair:
    """Two strategies side by side."""

    pairs: tuple[PersonPair, ...]
    models: tuple[ModelVersion | None, ModelVersion | None]


def sample_users() -> list[str]:
    """Some people who were here lately, and the stranger last."""
    return [*interactions_port().sample_users(limit=SAMPLE), ""]


def try_design(*, slug: str, design: StrategyDesign, at: datetime) -> list[TrialSlate]:
    """What the sample would get by a design that is not stored; raises `InvalidStrategy` for one that cannot be.

    Scores come from a published model of the same algorithm and parameters, of this strategy if it has one.
    """
    check_design(design, slug=slug)
    plan = draft_plan(
        slug=slug,
        algorithm=design.algorithm,
        parameters=build(design.algorithm, design.parameters).parameters,
        filters=design.filters,
        rules=design.rules,
        fallbacks=design.fallbacks,
    )
    answers = [
        recommend_by(plan=plan, user_id=user_id, k=SHOWN, at=at, budget_ms=UNHURRIED_MS) for user_id in sample_users()
    ]
    return _shown(answers)


def compare(*, slugs: tuple[str, str], at: datetime) -> StrategyPair:
    """The sample's slates of two strategies; raises `UnknownStrategy`."""
    users = sample_users()
    left, right = (
        [
            recommend(user_id=user, k=SHOWN, strategy=slug, context={}, at=at, log=False, budget_ms=UNHURRIED_MS)
            for user in users
        ]
        for slug in slugs
    )
    common = [
        {item.item_id for item in one.items} & {item.item_id for item in other.items}
        for one, other in zip(left, right, strict=True)
    ]
    pairs = zip(users, _shown(left, common), _shown(right, common), common, strict=True)
    return StrategyPair(
        pairs=tuple(PersonPair(user, one, other, len(same)) for user, one, other, same in pairs),
        models=(_published(slugs[0]), _published(slugs[1])),
    )


def _published(slug: str) -> ModelVersion | None:
    strategy = get_strategy(slug=slug)
    return strategy.models.filter(status="published").order_by("-published_at").first() if strategy else None


def _shown(answers: Sequence[Recommendation], common: Sequence[set[str]] | None = None) -> list[TrialSlate]:
    mentioned = {name for answer in answers for item in answer.items for name in item.reason.item_ids}
    titles = item_titles(item_ids=sorted(mentioned))
    shared = common or [set() for _ in answers]
    return [
        TrialSlate(
            user_id=answer.user_id,
            items=tuple(
                TrialItem(item, reason_text(reason=item.reason, titles=titles), item.item_id in same)
                for item in answer.items
            ),
            fallback=answer.fallback,
            fallback_reason=fallback_text(code=answer.fallback_reason),
        )
        for answer, same in zip(answers, shared, strict=True)
    ]
