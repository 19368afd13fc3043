"""Words and numbers for the pages of campaigns and of the demo shop."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django import template
from django.conf import settings
from django.utils.formats import number_format
from django.utils.translation import gettext, gettext_lazy

from experiments.reports import Bounds
from marketing.services.lifecycle import TRANSITIONS

register = template.Library()
MICRO = 1_000_000
DRAFTING = {
    "create": gettext_lazy("Made"),
    "revise": gettext_lazy("Changed"),
    "test_send": gettext_lazy("Test sent"),
    "review_on": gettext_lazy("Switched on"),
    "review_off": gettext_lazy("Switched off"),
}


@register.filter
def money(micro: int | None, currency: str = "") -> str:
    """Return micro-units as an amount with its currency; empty where there is no price."""
    if micro is None:
        return ""
    # Rounded first: `number_format` cuts off.
    amount = number_format(Decimal(f"{micro / MICRO:.2f}"), decimal_pos=2, use_l10n=True)
    return f"{amount} {currency or settings.REPORTING_CURRENCY}"


@register.filter
def transition(name: str) -> str:
    """Return the word for a row of a campaign's change log."""
    rule = TRANSITIONS.get(name)
    return str(rule.label if rule is not None else DRAFTING.get(name, name))


@register.filter
def figure(value: float | None, unit: str = "") -> str:
    """Return a number of a report: money with two places, a share as a percentage, anything else whole."""
    if value is None:
        return "–"
    if unit == "%":
        return f"{number_format(Decimal(f'{value * 100:.0f}'), use_l10n=True)}\u00a0%"
    places = 2 if unit else 0
    amount = number_format(Decimal(f"{value:.{places}f}"), decimal_pos=places, use_l10n=True, force_grouping=True)
    return f"{amount}\u00a0{unit}".strip()


@register.filter
def figure_range(bounds: Bounds, unit: str = "") -> str:
    """Return an interval in words; an open side has no bound."""
    if bounds.upper is None:
        return gettext("at least %(lower)s") % {"lower": figure(bounds.lower, unit)}
    if bounds.lower is None:
        return gettext("at most %(upper)s") % {"upper": figure(bounds.upper, unit)}
    return gettext("%(lower)s to %(upper)s") % {
        "lower": figure(bounds.lower, unit),
        "upper": figure(bounds.upper, unit),
    }


@register.filter
def as_json(value: Mapping[str, Any]) -> str:
    """Return a snapshot as indented text."""
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)
