"""A rule in the reader's language, as a tree of sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.utils.formats import date_format, localize
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.utils.translation import pgettext_lazy as named

from marketing.choices import Purpose
from marketing.models import Campaign, Segment, TraitDefinition
from marketing.segmentation.clock import from_micros
from marketing.segmentation.evaluate import Explanation
from marketing.segmentation.rules import (
    All,
    AnyOf,
    EventCount,
    EventTime,
    Filter,
    HasConsent,
    InSegment,
    Node,
    Not,
    Sample,
    Sent,
    Trait,
    parse,
)
from marketing.segmentation.vocabulary import EPOCH_DAY, MICRO, Kind, TraitSpec, values_of

SYSTEM_NAMES: Final = {
    "email": gettext_lazy("e-mail address"),
    "country": gettext_lazy("country"),
    "language": gettext_lazy("language"),
    "timezone": gettext_lazy("time zone"),
    "birth_year": gettext_lazy("year of birth"),
    "first_seen_at": gettext_lazy("first seen"),
    "last_seen_at": gettext_lazy("last seen"),
    "orders_n": gettext_lazy("number of orders"),
    "revenue": gettext_lazy("revenue"),
    "marketing_ok": gettext_lazy("agreed to marketing e-mail"),
}
OP_WORDS: Final = {
    "eq": named("operator", "is"),
    "ne": named("operator", "is not"),
    "gt": named("operator", "is more than"),
    "gte": named("operator", "is at least"),
    "lt": named("operator", "is less than"),
    "lte": named("operator", "is at most"),
    "in": named("operator", "is one of"),
    "not_in": named("operator", "is none of"),
    "contains": named("operator", "contains"),
    "starts_with": named("operator", "starts with"),
    "is_set": named("operator", "is known"),
    "is_not_set": named("operator", "is not known"),
    "within_days": named("operator", "within the last … days"),
    "not_within_days": named("operator", "more than … days ago"),
}
COUNT_WORDS: Final = {
    "gte": named("count", "at least"),
    "eq": named("count", "exactly"),
    "lte": named("count", "at most"),
    "gt": named("count", "more than"),
    "lt": named("count", "fewer than"),
}


@dataclass(frozen=True, slots=True)
class Sentence:
    """One condition in words, with those below it; of an explanation also whether it holds and what was found."""

    text: str
    parts: tuple[Sentence, ...] = ()
    holds: bool | None = None
    found: str = ""
    flips_at: datetime | None = None
    """When that changes by itself, because time passes."""


@dataclass(frozen=True, slots=True)
class Names:
    """What people call the things that rules speak of."""

    traits: Mapping[str, str]
    segments: Mapping[str, str]
    campaigns: Mapping[str, str] = field(default_factory=dict)


def names() -> Names:
    """Read the names once for any number of rules."""
    declared = dict(TraitDefinition.objects.values_list("key", "name"))
    return Names(
        traits={**declared, **{key: str(name) for key, name in SYSTEM_NAMES.items()}},
        segments=dict(Segment.objects.values_list("slug", "name")),
        campaigns=dict(Campaign.objects.values_list("slug", "name")),
    )


def describe(rule: Any, known: Names | None = None) -> Sentence:
    """Return a stored rule in words."""
    return _sentence(parse(rule), names() if known is None else known)


def describe_explanation(
    explanation: Explanation, *, traits: Mapping[str, TraitSpec], known: Names | None = None
) -> Sentence:
    """Return a rule in words with what holds for one person, and the values that decided."""
    words = names() if known is None else known
    return Sentence(
        text=_text(explanation.node, words),
        parts=tuple(describe_explanation(part, traits=traits, known=words) for part in explanation.parts),
        holds=explanation.holds,
        found=_found(explanation, traits),
        flips_at=from_micros(explanation.flips[0]) if explanation.flips else None,
    )


def _sentence(node: Node, known: Names) -> Sentence:
    below: tuple[Node, ...] = ()
    if isinstance(node, All | AnyOf):
        below = node.children
    elif isinstance(node, Not):
        below = (node.child,)
    return Sentence(text=_text(node, known), parts=tuple(_sentence(child, known) for child in below))


def _text(node: Node, known: Names) -> str:
    match node:
        case All(children):
            return _("everybody") if not children else _("all of these are true")
        case AnyOf(children):
            return _("nobody") if not children else _("at least one of these is true")
        case Not():
            return _("this is not true")
        case Trait():
            return _trait_text(node, known)
        case _:
            return _fact_text(node, known)


def _fact_text(node: Node, known: Names) -> str:
    """A condition that is no trait and has no parts."""
    match node:
        case EventCount():
            return _event_text(node)
        case EventTime():
            return _time_text(node)
        case InSegment(slug):
            return _("is in the segment %(name)s") % {"name": known.segments.get(slug, slug)}
        case HasConsent(Purpose.OBJECTION.value):
            return _("objects to direct marketing")
        case HasConsent(purpose):
            return _("agreed to %(purpose)s") % {"purpose": _purpose(purpose)}
        case Sent(campaign, days):
            name = {"name": known.campaigns.get(campaign, campaign), "days": localize(days)}
            if days is None:
                return _("got a message of the campaign %(name)s") % name
            return _("got a message of the campaign %(name)s in the last %(days)s days") % name
        case Sample(_salt, percent):
            return _("is in the random %(percent)s %% named “%(salt)s”") % {
                "percent": localize(percent),
                "salt": node.salt,
            }
        case _:
            raise TypeError(f"there is no condition {type(node).__name__}")


def _time_text(node: EventTime) -> str:
    texts = {
        ("first", "within_days"): _("did %(event)s for the first time within the last %(days)s days"),
        ("first", "not_within_days"): _("did %(event)s for the first time more than %(days)s days ago"),
        ("last", "within_days"): _("did %(event)s last within the last %(days)s days"),
        ("last", "not_within_days"): _("did %(event)s last more than %(days)s days ago"),
    }
    text = texts[node.end, node.op] % {"event": node.event, "days": localize(node.days)}
    return _with_filters(text, node.where)


def _with_filters(text: str, filters: Sequence[Filter]) -> str:
    return f"{text} ({'; '.join(_filter_text(one) for one in filters)})" if filters else text


def _purpose(purpose: str) -> str:
    return str(Purpose(purpose).label) if purpose in Purpose.values else purpose


def _trait_text(node: Trait, known: Names) -> str:
    name = known.traits.get(node.key, node.key)
    if node.op in ("within_days", "not_within_days"):
        days = {"name": name, "days": localize(node.value)}
        if node.op == "within_days":
            return _("%(name)s within the last %(days)s days") % days
        return _("%(name)s more than %(days)s days ago") % days
    if isinstance(node.value, bool):
        is_yes = node.value == (node.op == "eq")
        return (_("%(name)s: yes") if is_yes else _("%(name)s: no")) % {"name": name}
    values = ", ".join(str(localize(value)) for value in values_of(node.value))
    if node.key == "birth_year":
        values = ", ".join(str(value) for value in values_of(node.value))  # 1,980 is no year
    if node.key == "revenue":
        values = f"{values} {settings.REPORTING_CURRENCY}"
    return " ".join(part for part in (name, str(OP_WORDS[node.op]), values) if part)


def _event_text(node: EventCount) -> str:
    given = {"count": COUNT_WORDS[node.op], "n": localize(node.n), "event": node.event}
    if node.measure == "sum":
        text = _("the values of %(event)s add up to %(count)s %(n)s %(currency)s") % {
            **given,
            "currency": settings.REPORTING_CURRENCY,
        }
    elif node.op == "eq" and node.n == 0:
        text = _("never did %(event)s") % given
    else:
        text = ngettext(
            "did %(event)s %(count)s %(n)s time", "did %(event)s %(count)s %(n)s times", 1 if node.n == 1 else 2
        )
        text = text % given
    what = _with_filters(text, node.where)
    given = {"what": what, "days": localize(node.days), "until": localize(node.until_days)}
    if node.until_days is not None:
        if node.days is None:
            return _("%(what)s more than %(until)s days ago") % given
        return _("%(what)s from %(days)s until %(until)s days ago") % given
    return what if node.days is None else _("%(what)s in the last %(days)s days") % given


def _filter_text(node: Filter) -> str:
    values = ", ".join(str(localize(value)) for value in values_of(node.value))
    return f"{node.property} {OP_WORDS[node.op]} {values}"


def _found(explanation: Explanation, traits: Mapping[str, TraitSpec]) -> str:
    node, value = explanation.node, explanation.value
    if isinstance(node, EventCount):
        return str(localize(value / MICRO if node.measure == "sum" else value))
    if isinstance(node, EventTime | Sent) and value is not None:
        return date_format(from_micros(value), "DATETIME_FORMAT")
    if isinstance(node, EventTime | Sent):
        return _("never")
    if not isinstance(node, Trait):
        return ""
    if value is None:
        return _("not known")
    return show_value(value, traits[node.key].kind, is_year=node.key == "birth_year")


def show_value(value: Any, kind: Kind, *, is_year: bool = False) -> str:
    """Return a trait's stored value as people read it."""
    if kind == Kind.BOOLEAN:
        return _("yes") if value else _("no")
    if kind == Kind.MOMENT:
        return date_format(from_micros(value), "DATETIME_FORMAT")
    if kind == Kind.DATE:
        return date_format(EPOCH_DAY + timedelta(days=int(value)), "DATE_FORMAT")
    if kind == Kind.MONEY:
        return f"{localize(value / MICRO)} {settings.REPORTING_CURRENCY}"
    return str(value) if is_year or kind == Kind.TEXT else str(localize(value))
