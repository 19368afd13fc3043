"""A metric in words, and its history as a chart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from django import template
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from experiments.forms.metrics import SIGNS
from experiments.models import Metric
from experiments.ports import EXPERIMENT_PLACEHOLDER, MetricDefinition, Part, PropertyFilter
from experiments.selectors.metrics import HistoryPoint, Survey
from experiments.templatetags.experiment_numbers import MISSING, number, percent

register = template.Library()

DAY_HOURS: Final = 24
HEIGHT: Final = 180
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 14, 28
WIDTHS: Final = (("phone", 360), ("wide", 760))


@dataclass(frozen=True, slots=True)
class Drawing:
    """One drawing of the history, in pixels."""

    name: str
    width: int
    line: str
    points: tuple[tuple[float, float], ...]
    grid: tuple[tuple[float, str], ...]
    days: tuple[tuple[float, str, str], ...]


@register.filter
def in_words(metric: Metric) -> list[str]:
    """What the metric means, one sentence for each part of the definition."""
    definition = metric.decoded()
    sentences = [_number(metric, definition), _window(definition)]
    if definition.denominator is not None:
        sentences.insert(1, _("Divided by: %(part)s.") % {"part": _part(definition.denominator)})
    if definition.quantile is not None:
        share = percent(definition.quantile, 0)
        of_what = _("single events, in clusters of one person") if definition.per_event else _("people")
        sentences.append(_("The quantile of %(share)s over %(of_what)s.") % {"share": share, "of_what": of_what})
    if definition.lookback_days:
        sentences.append(_covariate(definition))
    sentences += _bounds(metric, definition)
    return sentences


@register.filter
def survey_value(value: float | None, metric: Metric) -> str:
    """A value on the metric's own scale."""
    if value is None:
        return MISSING
    if metric.unit == Metric.Unit.SHARE:
        return percent(value, 2)
    return number(value, 2 if metric.unit == Metric.Unit.MONEY else 4)


@register.inclusion_tag("experiments/metrics/_history.html")
def metric_history(survey: Survey, metric: Metric) -> dict[str, Any]:
    """The metric over everybody, week by week."""
    known = [(index, point) for index, point in enumerate(survey.history) if point.value is not None]
    widths = WIDTHS if len(known) > 1 else ()
    drawings = [_drawing(known, len(survey.history), metric, name, width) for name, width in widths]
    return {"metric": metric, "survey": survey, "drawings": drawings}


def _drawing(known: list[tuple[int, HistoryPoint]], points_n: int, metric: Metric, name: str, width: int) -> Drawing:
    values = [point.value or 0.0 for _index, point in known]
    lower, upper = min(0.0, *values), max(values)
    span = upper - lower or 1.0
    step = (width - LEFT - RIGHT) / max(1, points_n - 1)

    def y(value: float) -> float:
        return round(TOP + (upper - value) / span * (HEIGHT - TOP - BOTTOM), 2)

    places = tuple(
        (round(LEFT + index * step, 2), y(value)) for (index, _point), value in zip(known, values, strict=True)
    )
    ends = (places[0][0], "start", known[0][1].day), (places[-1][0], "end", known[-1][1].day)
    return Drawing(
        name=name,
        width=width,
        line=" ".join(f"{left},{top}" for left, top in places),
        points=places,
        grid=tuple((y(value), survey_value(value, metric)) for value in (lower, lower + span / 2, lower + span)),
        days=tuple((left, anchor, date_format(date.fromisoformat(day), "j M")) for left, anchor, day in ends),
    )


def _number(metric: Metric, definition: MetricDefinition) -> str:
    part = _part(definition.numerator)
    patterns = {
        Metric.Kind.PROPORTION: _("The share of people with %(part)s."),
        Metric.Kind.RETENTION: _("The share of people who came back: with %(part)s."),
        Metric.Kind.FUNNEL: _("The share of people who went all the way: %(part)s."),
        Metric.Kind.QUANTILE: _("Of each person: %(part)s."),
        Metric.Kind.RATIO: _("Over all people together: %(part)s."),
    }
    pattern = patterns.get(Metric.Kind(metric.kind), _("The mean over people of: %(part)s."))
    return pattern % {"part": part}


def _part(part: Part) -> str:
    events = _listed(part.event_types)
    names = {"events": events, "property": part.value_property}
    patterns = {
        "exists": _("at least one of %(events)s"),
        "count": _("the number of %(events)s"),
        "sum": _("the summed values of %(events)s"),
        "max": _("the largest value of %(events)s"),
        "distinct": _("the number of different values of “%(property)s” in %(events)s"),
        "first": _("the value of the first of %(events)s"),
        "last": _("the value of the last of %(events)s"),
    }
    text = patterns[part.aggregation] % names
    if part.value_property and part.aggregation != "distinct":
        text = _("%(text)s (its property “%(property)s”)") % {"text": text, "property": part.value_property}
    if part.filters:
        text = _("%(text)s where %(filters)s") % {"text": text, "filters": _listed(map(_filter, part.filters))}
    if part.after:
        text = _("%(text)s, after %(steps)s in this order") % {"text": text, "steps": _listed(part.after)}
    return text


def _filter(item: PropertyFilter) -> str:
    sign = next(sign for sign, operator in SIGNS.items() if operator == item.operator)
    value = _("this experiment") if item.value == EXPERIMENT_PLACEHOLDER else item.value
    return f"{item.property} {sign} {value}"


def _window(definition: MetricDefinition) -> str:
    if definition.delay_hours:
        return _("It counts from %(delay)s after the person's first exposure, for %(window)s.") % {
            "delay": _hours(definition.delay_hours),
            "window": _hours(definition.window_hours),
        }
    return _("It counts for %(window)s from the person's first exposure on.") % {
        "window": _hours(definition.window_hours)
    }


def _covariate(definition: MetricDefinition) -> str:
    days = ngettext("%(days)s day", "%(days)s days", definition.lookback_days) % {"days": definition.lookback_days}
    if definition.covariate_event_types:
        return _("Adjusted for %(events)s in the %(days)s before the exposure (CUPED).") % {
            "events": _listed(definition.covariate_event_types),
            "days": days,
        }
    return _("Adjusted for the same number in the %(days)s before the exposure (CUPED).") % {"days": days}


def _bounds(metric: Metric, definition: MetricDefinition) -> Iterable[str]:
    if definition.cap is not None:
        yield _("One person counts for at most %(cap)s; the result without this limit stands beside it.") % {
            "cap": survey_value(definition.cap, metric)
        }
    if definition.cap_percentile is not None:
        yield _(
            "One person counts for at most the %(percentile)s-th percentile of all arms together, fixed at each look."
        ) % {"percentile": number(definition.cap_percentile, 2)}
    if definition.minimum_sample:
        yield _("Nothing is concluded with fewer than %(least)s people in an arm.") % {
            "least": definition.minimum_sample
        }


def _hours(hours: int) -> str:
    if hours % DAY_HOURS == 0:
        days = hours // DAY_HOURS
        return ngettext("%(days)s day", "%(days)s days", days) % {"days": days}
    return ngettext("%(hours)s hour", "%(hours)s hours", hours) % {"hours": hours}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
