"""Reads of the traits that exist here: how each is made, how sensitive it is, of how many people it is known."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from marketing.choices import TraitOrigin
from marketing.models import Profile, TraitDefinition, TraitRun
from marketing.portrait.recipes import Affinity, Computed, Engagement, Events, Habit, RecipeError, parse


@dataclass(frozen=True, slots=True)
class TraitListRow:
    """One trait as the list shows it. `percent` is the share of people with a value, None before the first count."""

    key: str
    name: str
    type: str
    sensitivity: str
    is_computed: bool
    is_active: bool
    made: str
    description: str
    percent: float | None
    refreshed_at: datetime | None


def list_traits() -> list[TraitListRow]:
    """Return all traits, the computed ones last."""
    everybody = Profile.objects.living().count()
    rows = TraitDefinition.objects.order_by("-origin", "name", "pk")
    return [
        TraitListRow(
            key=row.key,
            name=_(row.name) if row.origin == TraitOrigin.COMPUTED else row.name,
            type=row.get_type_display(),
            sensitivity=row.sensitivity,
            is_computed=row.origin == TraitOrigin.COMPUTED,
            is_active=row.is_active,
            made=how_made(row.recipe) if row.origin == TraitOrigin.COMPUTED else "",
            description=row.description,
            percent=100 * row.filled_n / everybody if everybody and row.filled_n is not None else None,
            refreshed_at=row.refreshed_at,
        )
        for row in rows
    ]


def latest_run() -> TraitRun | None:
    """Return the last calculation that ended."""
    return TraitRun.objects.exclude(finished_at=None).order_by("-pk").first()


def how_made(recipe: Any) -> str:
    """Return a recipe in words."""
    try:
        parsed = parse(recipe)
    except RecipeError as error:
        return str(error)
    match parsed:
        case Events(event=event, measure=measure, days=days):
            return _events_in_words(event, measure, days)
        case Engagement(days=days):
            return _("by the days with an event, of the last %(days)s days") % {"days": days}
        case Affinity(of=of, days=days, half_life=half_life):
            what = _("categories") if of == "category" else _("brands")
            return _("weighed %(what)s of the last %(days)s days; %(half)s days halve a weight") % {
                "what": what,
                "days": days,
                "half": half_life,
            }
        case Habit(days=days):
            return _("what is most frequent in the last %(days)s days, recent events more") % {"days": days}
        case Computed(formula=formula):
            return formula.text
        case _:
            return _("from all orders, compared with everybody who ordered")


def _events_in_words(event: str, measure: str, days: int | None) -> str:
    words = {
        "count": _("how often: %(event)s"),
        "sum": _("sum of the value: %(event)s"),
        "items": _("different products: %(event)s"),
        "days": _("days with: %(event)s"),
    }
    text = words[measure] % {"event": event or _("any event")}
    return text if days is None else _("%(text)s, last %(days)s days") % {"text": text, "days": days}
