"""A strategy's design in words, one sentence to a subject, and what changed between two designs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from recommender.registry import algorithms
from recommender.services.filters import EVERY_TYPE
from recommender.services.rules import EPSILON, SOFTMAX

if TYPE_CHECKING:
    from django.utils.functional import Promise

    from recommender.services.filters import Filters
    from recommender.services.rules import Rules
    from recommender.services.strategies import StrategyDesign

MICRO = 1_000_000

NAMES: dict[str, str | Promise] = {
    "popularity": gettext_lazy("What most people choose"),
    "item-knn": gettext_lazy("Others who chose this also chose"),
    "user-knn": gettext_lazy("People with a similar taste"),
    "content": gettext_lazy("More of the same kind"),
    "ease": gettext_lazy("Items that go together (EASE)"),
    "als": gettext_lazy("Hidden tastes (ALS)"),
    "next-choice": gettext_lazy("The likely next choice"),
    "sequence": gettext_lazy("What comes after what"),
    "blend": gettext_lazy("A blend of several"),
}


@dataclass(frozen=True, slots=True)
class Sentence:
    """What a design says of one subject."""

    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class Difference:
    """A subject of which two designs say something else; empty where one says nothing."""

    subject: str
    before: str
    after: str


def algorithm_name(key: str) -> str:
    """An algorithm in a marketer's words; a plug-in's key where we have none."""
    return str(NAMES.get(key, key))


def algorithm_choices() -> list[tuple[str, str]]:
    """All registered algorithms with their names."""
    return [(key, f"{algorithm_name(key)} · {key}" if key in NAMES else key) for key in algorithms()]


def describe(design: StrategyDesign) -> list[Sentence]:
    """The design in words, in the order in which a slate is made."""
    return [
        Sentence(_("Algorithm"), algorithm_name(design.algorithm)),
        *(Sentence(name, str(value)) for name, value in design.parameters.items()),
        Sentence(_("Learns from"), _learns_from(design)),
        *_filters(design.filters),
        *_rules(design.rules),
        Sentence(_("If that is not enough"), " → ".join([*design.fallbacks, _("the catalogue by popularity")])),
    ]


def differences(before: StrategyDesign, after: StrategyDesign) -> list[Difference]:
    """What was said otherwise before, in the order of the later design; what is gone comes last."""
    old = {sentence.subject: sentence.text for sentence in describe(before)}
    new = {sentence.subject: sentence.text for sentence in describe(after)}
    subjects = [*new, *(subject for subject in old if subject not in new)]
    return [
        Difference(subject, old.get(subject, ""), new.get(subject, ""))
        for subject in subjects
        if old.get(subject) != new.get(subject)
    ]


def _learns_from(design: StrategyDesign) -> str:
    days = design.window_days
    text = (
        ngettext("the last %(days)d day", "the last %(days)d days", days) % {"days": days} if days else _("all events")
    )
    return f"{text}, {_('without what treated people did')}" if design.leave_out_treated else text


def _filters(filters: Filters) -> Iterator[Sentence]:
    if EVERY_TYPE in filters.seen:
        yield Sentence(_("Seen items"), _("are left out"))
    elif filters.seen:
        yield Sentence(_("Seen items"), _("are left out after: %(types)s") % {"types": _listed(filters.seen)})
    else:
        yield Sentence(_("Seen items"), _("may come again"))
    if filters.bought_days:
        text = ngettext("are left out for %(n)d day", "are left out for %(n)d days", filters.bought_days)
        yield Sentence(_("Bought items"), text % {"n": filters.bought_days})
    yield from _ranges(filters)


def _ranges(filters: Filters) -> Iterator[Sentence]:
    if filters.show_out_of_stock:
        yield Sentence(_("Out of stock"), _("is shown all the same"))
    if filters.hide_age_restricted:
        yield Sentence(_("Age-restricted items"), _("are never shown"))
    for subject, names in (
        (_("Only these categories"), filters.categories),
        (_("Not these categories"), filters.exclude_categories),
        (_("Not these tags"), filters.exclude_tags),
        (_("Blocked items"), filters.blocked),
    ):
        if names:
            yield Sentence(subject, _listed(names))
    if filters.price_min is not None:
        yield Sentence(_("Price from"), f"{filters.price_min / MICRO:g}")
    if filters.price_max is not None:
        yield Sentence(_("Price to"), f"{filters.price_max / MICRO:g}")
    if filters.max_per_category:
        text = ngettext("at most %(n)d place", "at most %(n)d places", filters.max_per_category)
        yield Sentence(_("Each category"), text % {"n": filters.max_per_category})


def _rules(rules: Rules) -> Iterator[Sentence]:
    if rules.pinned:
        yield Sentence(_("Always first"), _listed(rules.pinned))
    if rules.boosted:
        text = _("%(what)s, by %(percent)d %%") % {"what": _listed(rules.boosted), "percent": rules.boost_percent}
        yield Sentence(_("Raised"), text)
    if rules.buried:
        text = _("%(what)s, by %(percent)d %%") % {"what": _listed(rules.buried), "percent": rules.bury_percent}
        yield Sentence(_("Lowered"), text)
    if rules.promoted and rules.promoted_percent:
        text = _("%(what)s get %(percent)d %% of the places")
        yield Sentence(_("Promotions"), text % {"what": _listed(rules.promoted), "percent": rules.promoted_percent})
    if rules.damping_percent:
        text = _("count %(percent)d %% less by popularity") % {"percent": rules.damping_percent}
        yield Sentence(_("Popular items"), text)
    if rules.diversity_percent:
        text = _("%(percent)d %% of the weight is on being unlike what stands before")
        yield Sentence(_("Variety"), text % {"percent": rules.diversity_percent})
    if rules.explore:
        yield Sentence(_("Trying out"), _exploration(rules))
    if rules.explore and rules.new_items:
        text = ngettext(
            "the newest %(n)d takes part, %(weight)d × as likely",
            "the newest %(n)d take part, %(weight)d × as likely",
            rules.new_items,
        )
        yield Sentence(_("New items"), text % {"n": rules.new_items, "weight": rules.new_item_weight})


def _exploration(rules: Rules) -> str:
    words = {
        EPSILON: _("%(percent)d %% of the places are drawn from the best %(pool)d"),
        SOFTMAX: _("every place is drawn from the best %(pool)d, better ones more often (temperature %(percent)d %%)"),
    }
    return words[rules.explore] % {"percent": rules.explore_percent, "pool": rules.explore_pool}


def _listed(names: Sequence[str]) -> str:
    return ", ".join(name.replace("=", " ", 1) for name in names)
