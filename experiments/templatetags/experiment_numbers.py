"""Numbers of stored results as text: each in a form that cannot mislead."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Final

from django import template
from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.translation import gettext, pgettext

from experiments.reports import Bounds, MetricReport, SeriesPoint

register = template.Library()

MISSING: Final = "–"
SMALLEST_P: Final = 0.0001


@register.filter
def p_value(value: float | None) -> str:
    """A p-value with what a reader can use of it."""
    if value is None:
        return MISSING
    if value < SMALLEST_P:
        return f"< {number(SMALLEST_P, 4)}"
    return number(value, 4 if value < 0.01 else 3)


@register.filter
def percent(value: float | None, places: int = 1) -> str:
    """A share as a percentage."""
    return MISSING if value is None else f"{number(value * 100, places)}\u00a0%"


@register.filter
def signed_percent(value: float | None, places: int = 1) -> str:
    """A relative effect as a percentage with its sign."""
    if value is None:
        return MISSING
    sign = "+" if value > 0 else "−" if value < 0 else "±"
    return f"{sign}{number(abs(value) * 100, places)}\u00a0%"


@register.filter
def percent_range(bounds: Bounds | None) -> str:
    """A relative interval, from – to."""
    if bounds is None:
        return MISSING
    return pgettext("interval", "%(lower)s to %(upper)s") % {
        "lower": signed_percent(bounds.lower),
        "upper": signed_percent(bounds.upper),
    }


@register.filter
def point_range(point: SeriesPoint) -> str:
    """The interval of one day."""
    if point.lower is None or point.upper is None:
        return MISSING
    return percent_range(Bounds(point.lower, point.upper, 0.0))


@register.filter
def metric_value(value: float | None, metric: MetricReport) -> str:
    """A value on the metric's own scale."""
    if value is None:
        return MISSING
    if metric.unit == "share":
        return percent(value, 2)
    return number(value, 2 if metric.unit == "money" else 4)


@register.filter
def metric_effect(value: float | None, metric: MetricReport) -> str:
    """A difference on the metric's own scale; of shares in percentage points."""
    if value is None:
        return MISSING
    sign = "+" if value > 0 else "−" if value < 0 else "±"
    if metric.unit == "share":
        return f"{sign}{number(abs(value) * 100, 2)} {gettext('pp')}"
    return f"{sign}{number(abs(value), 2 if metric.unit == 'money' else 4)}"


@register.filter
def effect_range(bounds: Bounds | None, metric: MetricReport) -> str:
    """An absolute interval, from – to."""
    if bounds is None:
        return MISSING
    return pgettext("interval", "%(lower)s to %(upper)s") % {
        "lower": metric_effect(bounds.lower, metric),
        "upper": metric_effect(bounds.upper, metric),
    }


@register.filter
def whole(value: float | None) -> str:
    """A number without decimals."""
    return MISSING if value is None else number(value, 0)


@register.filter
def signed_whole(value: float | None) -> str:
    """A number without decimals, with its sign."""
    return MISSING if value is None else signed(value)


@register.filter
def whole_range(bounds: Bounds | None) -> str:
    """An interval of whole numbers, from – to."""
    if bounds is None or bounds.lower is None or bounds.upper is None:
        return MISSING
    return pgettext("interval", "%(lower)s to %(upper)s") % {
        "lower": signed(bounds.lower),
        "upper": signed(bounds.upper),
    }


@register.filter
def days(value: float | None) -> str:
    """A number of days."""
    return MISSING if value is None else number(value, 1)


@register.filter
def moment(text: str) -> str:
    """An ISO time as date and time in the reader's form."""
    return date_format(timezone.localtime(datetime.fromisoformat(text)), gettext("j M Y, H:i"))


@register.filter
def day_text(text: str) -> str:
    """An ISO day in the reader's form."""
    return date_format(date.fromisoformat(text), gettext("j M Y"))


@register.filter
def unlocalized(value: float) -> str:
    """A number as SVG wants it, whatever the reader's language."""
    return f"{value:g}"


def signed(value: float) -> str:
    """A whole number with its sign."""
    sign = "+" if value > 0 else "−" if value < 0 else "±"
    return f"{sign}{number(abs(value), 0)}"


def number(value: float, places: int) -> str:
    """A number with so many decimals, in the reader's form."""
    # Rounded first: Django's `number_format` cuts off, and 1.996 would read 1.99.
    text = number_format(Decimal(f"{value:.{places}f}"), decimal_pos=places, use_l10n=True, force_grouping=True)
    return text.replace("-", "−")
