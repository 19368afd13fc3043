"""Keeping versions of strategies for somebody (a running experiment) while the strategies move on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from recommender.errors import UnknownStrategy
from recommender.models import Strategy, StrategyHold


@dataclass(frozen=True, slots=True)
class HeldVersion:
    """What a holder keeps of one strategy."""

    slug: str
    number: int


@transaction.atomic
def hold_strategies(*, slugs: Collection[str], holder: str, at: datetime) -> list[HeldVersion]:
    """Keeps the present versions of these strategies, and of their fallbacks, for the holder; raises `UnknownStrategy`.

    A strategy the holder has already is left as it is.
    """
    wanted = set(slugs)
    found: dict[str, Strategy] = {}
    while missing := wanted - set(found):
        rows = Strategy.objects.filter(slug__in=missing, current_version__isnull=False).select_related(
            "current_version"
        )
        fresh = {row.slug: row for row in rows}
        if unknown := missing - set(fresh):
            raise UnknownStrategy(f"no strategy has the slug {', '.join(sorted(unknown))}")
        found |= fresh
        wanted |= {name for row in fresh.values() if row.current_version for name in row.current_version.fallbacks}
    StrategyHold.objects.bulk_create(
        (
            StrategyHold(strategy=row, strategy_version=row.current_version, holder=holder, since=at)
            for _, row in sorted(found.items())
        ),
        ignore_conflicts=True,
    )
    held = StrategyHold.objects.filter(holder=holder, strategy__slug__in=found).order_by("strategy__slug")
    return [HeldVersion(*row) for row in held.values_list("strategy__slug", "strategy_version__number")]


def release_strategies(*, holder: str, at: datetime) -> int:
    """Lets everything go that the holder kept; returns how many strategies. What it was stays on record."""
    return StrategyHold.objects.filter(holder=holder, until=None).update(until=at)


def forget_holders(*, holders: Collection[str]) -> int:
    """Removes what these holders kept from the record, for holders that never were (a demo world); returns how many."""
    return StrategyHold.objects.filter(holder__in=holders).delete()[0]
