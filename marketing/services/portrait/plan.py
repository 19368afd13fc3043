"""What a calculation has to make: the active recipes, taken apart by how they are followed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from django.conf import settings

from marketing.choices import TraitOrigin
from marketing.errors import CannotComputeTraits
from marketing.models import EventType, TraitDefinition
from marketing.portrait.recipes import (
    Affinity,
    Behavior,
    Computed,
    Orders,
    RecipeError,
    event_names,
    fingerprint,
    lookback,
    parse,
)


@dataclass(frozen=True, slots=True)
class Plan:
    """The recipes by the key of their definition; formulas in the order in which they need each other."""

    behavior: Mapping[int, Behavior]
    orders: Mapping[int, Orders]
    formulas: Mapping[int, Computed]
    types: Mapping[str, int]
    fingerprint: str
    ids_by_key: Mapping[str, int] = field(default_factory=dict)

    @property
    def most_days(self) -> int | None:
        """The longest window; None if no recipe reads events."""
        return max((one.days for one in self.behavior.values() if one.days is not None), default=None)

    @property
    def weighted_types(self) -> frozenset[int]:
        """The types of events that say what somebody cares for."""
        names = {name for one in self.behavior.values() if isinstance(one, Affinity) for name in one.weights}
        return frozenset(self.types[name] for name in names if name in self.types)

    @property
    def has_affinity(self) -> bool:
        return any(isinstance(one, Affinity) for one in self.behavior.values())

    def windows(self) -> dict[int, frozenset[int] | None]:
        """Return each window in days with the types that are read in it; None for all of them."""
        found: dict[int, frozenset[int] | None] = {}
        for one in self.behavior.values():
            days, names = lookback(one), event_names(one)
            if days is None:
                continue
            known = found.get(days, frozenset())
            mine = None if names is None else frozenset(self.types[name] for name in names if name in self.types)
            found[days] = None if known is None or mine is None else known | mine
        return found


def load_plan() -> Plan:
    """Read the active recipes; `CannotComputeTraits` names one that cannot be followed."""
    rows = list(TraitDefinition.objects.filter(origin=TraitOrigin.COMPUTED, is_active=True).order_by("pk"))
    behavior: dict[int, Behavior] = {}
    orders: dict[int, Orders] = {}
    formulas: dict[int, Computed] = {}
    for row in rows:
        try:
            recipe = parse(row.recipe)
        except RecipeError as error:
            raise CannotComputeTraits(f"trait {row.key}: {error}; change its recipe or switch it off") from error
        if isinstance(recipe, Orders):
            orders[row.pk] = recipe
        elif isinstance(recipe, Computed):
            formulas[row.pk] = recipe
        else:
            behavior[row.pk] = recipe
    keys = {row.pk: row.key for row in rows}
    made = [{"key": row.key, "pk": row.pk, **row.recipe} for row in rows]
    return Plan(
        behavior=behavior,
        orders=orders,
        formulas=_in_order(formulas, keys),
        types=dict(EventType.objects.values_list("name", "pk")),
        fingerprint=fingerprint(made, settings.REPORTING_TIME_ZONE, settings.REPORTING_CURRENCY),
        ids_by_key=dict(TraitDefinition.objects.values_list("key", "pk")),
    )


def _in_order(formulas: Mapping[int, Computed], keys: Mapping[int, str]) -> dict[int, Computed]:
    """Each formula after those that it names; `CannotComputeTraits` names a circle."""
    by_key = {keys[pk]: pk for pk in formulas}
    done: dict[int, Computed] = {}

    def add(pk: int, path: Sequence[str]) -> None:
        if pk in done:
            return
        if keys[pk] in path:
            raise CannotComputeTraits(f"formulas need each other in a circle: {' → '.join([*path, keys[pk]])}")
        for name in formulas[pk].formula.names:
            if name in by_key:
                add(by_key[name], [*path, keys[pk]])
        done[pk] = formulas[pk]

    for pk in formulas:
        add(pk, [])
    return done
