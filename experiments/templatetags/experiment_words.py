"""Words of stored results: codes and messages become sentences and names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from django import template
from django.utils.formats import number_format
from django.utils.translation import gettext, pgettext
from django.utils.translation import gettext_lazy as _

from experiments.choices import AlertKind
from experiments.reports import Message, MetricReport, Verdict
from experiments.templatetags.experiment_numbers import MISSING, moment, p_value, percent, signed_percent

register = template.Library()

# Every message of a report. Parameters are formatted by their names, see `_FORMATS`.
WORDS: Final = {
    # Why a number is undefined
    "too_few_units": _("Not enough data: fewer than two people in an arm."),
    "no_variance": _("Everybody in both arms has the same value, so there is nothing to test."),
    "non_positive_mean": _("A relative effect needs a positive mean in both arms."),
    "zero_denominator": _("The denominator is zero."),
    "not_finite": _("The numbers are too extreme to compute with."),
    "too_few_events": _("Not enough data: %(found)s of %(needed)s needed in the smaller arm."),
    "too_small_sample": _("Not enough data: %(found)s of %(needed)s people that the metric asks for in each arm."),
    "unbounded": _("The interval has no bound."),
    "no_control_value": _("Control cannot have this value."),
    "no_window_closed": _("Not enough data: nobody's measuring window has closed yet."),
    "no_planned_size": _("No always-valid interval: the plan has no size."),
    "single_look": _("A finished experiment: one look, no need to guard against peeking."),
    "effect_is_drifting": _("The effect is drifting: looks at different days exclude each other."),
    # Verdicts: what to do and why
    "no_control": _("What it caused cannot be told: nobody was kept out to compare with. The reason given: %(reason)s"),
    "nothing_to_compare": _("There is nothing to compare: no primary metric or no second arm."),
    "not_healthy": _("No verdict: something is wrong with the experiment itself."),
    "ship": _("Ship %(arm)s: it moves “%(metric)s” by %(lift)s, and that is not chance."),
    "guardrail_blocks": _("Stop %(arm)s: “%(guardrail)s” is harmed."),
    "stop_harm": _("Stop: “%(metric)s” gets worse, and that is not chance."),
    "stop_flat": _("Stop: an effect on “%(metric)s” as large as planned is ruled out."),
    "continue": _("Continue: %(found)s of %(needed)s people have been measured, and nothing is certain yet."),
    "continue_doubt": _(
        "Continue: %(arm)s is better on “%(metric)s”, but “%(guardrail)s” is not shown to be unharmed."
    ),
    "continue_early": _(
        "Continue: %(arm)s is better on “%(metric)s”; ship after %(needed)s days, so that every weekday was seen."
    ),
    "undecided_doubt": _(
        "Your judgement: %(arm)s is better on “%(metric)s”, but “%(guardrail)s” is not shown to be unharmed."
    ),
    "undecided_early": _(
        "Your judgement: %(arm)s is better on “%(metric)s”, but it ended after %(days)s of %(needed)s days."
    ),
    "continue_empty": _("Continue: nobody's measuring window has closed yet."),
    "ended": _(
        "Your judgement: it ended with %(found)s of %(needed)s people measured; “%(metric)s” may be better or worse."
    ),
    "undecided": _("Your judgement: the planned size is reached, and “%(metric)s” may be better or worse."),
    "no_primary": _("No primary metric was declared."),
    "before_planned_size": _("%(units)s of %(planned)s planned people have been measured."),
    "before_minimum_days": _("%(days)s of at least %(needed)s days have passed; a week has its own rhythm."),
    "planned_size_reached": _("The planned size of %(planned)s people is reached."),
    "metric_good": _("%(arm)s: “%(metric)s” is better, by %(lower)s to %(upper)s."),
    "metric_bad": _("%(arm)s: “%(metric)s” is worse, by %(lower)s to %(upper)s."),
    "metric_futile": _("%(arm)s: an effect on “%(metric)s” as large as planned is ruled out (%(lower)s to %(upper)s)."),
    "metric_unclear": _("%(arm)s: “%(metric)s” is not clear yet (%(lower)s to %(upper)s)."),
    "metric_undefined": _("%(arm)s: “%(metric)s” has no result yet. %(reason)s"),
    "metric_drifting": _(
        "%(arm)s: the effect on “%(metric)s” is drifting; looks at different days exclude each other."
    ),
    "look_refused": _("%(arm)s: not enough data on “%(metric)s”: %(have)s of %(needed)s in the smaller arm."),
    "guardrail_safe": _("%(arm)s: “%(metric)s” is safe, harm beyond %(margin)s is ruled out."),
    "guardrail_unproven": _(
        "%(arm)s: “%(metric)s” is not shown to be safe (%(lower)s to %(upper)s, margin %(margin)s)."
    ),
    "guardrail_without_margin": _("%(arm)s: “%(metric)s” shows no harm, but without a margin that proves nothing."),
    "no_rule_matched": _("No rule applies: a person has to judge."),
    "guardrail_held": _("%(arm)s: “%(metric)s” is held, harm beyond %(margin)s is ruled out."),
    "guardrail_harmed": _("%(arm)s: “%(metric)s” is harmed (%(lower)s to %(upper)s)."),
    "guardrail_open": _("%(arm)s: harm to “%(metric)s” is neither shown nor ruled out (margin %(margin)s)."),
    "ceiling_held": _("%(arm)s: “%(metric)s” is held: more than %(ceiling)s is ruled out (%(rate)s so far)."),
    "ceiling_harmed": _("%(arm)s: “%(metric)s” is above the ceiling of %(ceiling)s: %(rate)s, and that is not chance."),
    "ceiling_open": _(
        "%(arm)s: “%(metric)s” is %(rate)s (%(rate_from)s to %(rate_to)s); whether it stays below %(ceiling)s is open."
    ),
    "ceiling_empty": _("%(arm)s: “%(metric)s” has a ceiling of %(ceiling)s; nobody's window has closed yet."),
    # Health
    "srm_fine": _("The arms hold the shares that were designed (%(p_value)s)."),
    "srm_mismatch": _(
        "The arms do not hold the shares that were designed (%(p_value)s): people are lost or added on the way."
    ),
    "srm_watch": _("The shares of the arms look odd today (%(p_value)s), but over all days that can be chance."),
    "multi_arm_few": _("%(count)s people were seen in two arms (%(share)s) and are left out."),
    "multi_arm_many": _(
        "%(count)s people were seen in two arms (%(share)s): too many for leaving them out to be harmless."
    ),
    "no_exposures": _("Nobody has been exposed yet."),
    "exposures_stopped": _("Nobody has been exposed since %(at)s."),
    "metric_stopped": _("Not one event for “%(metric)s” among the people of the last %(days)s days."),
    "data_delayed": _("No event at all has arrived since %(at)s: data is missing or late."),
    "exposures_strayed": _(
        "%(count)s of the newest exposures (%(share)s) are to an arm that the assignment does not give these people."
    ),
    "bots_many": _("%(count)s visits of bots were left out (%(share)s of all): some will have passed for people."),
    "biased_start": _("The arms differed in “%(metric)s” before anybody was exposed (%(p_value)s)."),
    "frozen_units": _("%(count)s people were erased since; what they contributed before is kept without them."),
    "refresh_failed": _("The results could not be refreshed: %(error)s"),
    "metric_silent": _("Not one event has arrived for “%(metric)s”."),
}


def fine_percent(value: float | None) -> str:
    """A share that may be far below 1 %: complaints are counted in hundredths of a percent."""
    return percent(value, 2)


@register.filter
def words(message: Message | None) -> str:
    """The sentence of a message, in the reader's language."""
    if message is None:
        return ""
    sentence = WORDS.get(message.code)
    if sentence is None:
        return message.code
    return str(sentence) % {name: _formatted(name, value) for name, value in message.parameters.items()}


def _formatted(name: str, value: Any) -> str:
    formats: dict[str, Callable[[Any], str]] = {
        "p_value": _p_text,
        "share": percent,
        "rate": fine_percent,
        "rate_from": fine_percent,
        "rate_to": fine_percent,
        "ceiling": fine_percent,
        "lift": signed_percent,
        "lower": _bound,
        "upper": _bound,
        "reason": _reason,
        "margin": percent,
        "at": moment,
        "metric": gettext,
        "guardrail": gettext,
    }
    if value is None:
        return MISSING
    if name in formats:
        return formats[name](value)
    return number_format(value, use_l10n=True, force_grouping=True) if isinstance(value, (int, float)) else str(value)


def _p_text(value: float) -> str:
    """A p-value inside a sentence."""
    text = p_value(value)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def _bound(value: Any) -> str:
    """One end of an interval, or the sign of an open end."""
    return value if isinstance(value, str) else signed_percent(value)


def _reason(code: str) -> str:
    """The sentence of a reason without parameters."""
    return words(Message(code))


@register.filter
def trend_name(trend: str) -> str:
    """What an effect does with the days, in a word."""
    names = {
        "steady": pgettext("trend", "steady"),
        "fading": pgettext("trend", "fading"),
        "growing": pgettext("trend", "growing"),
        "unknown": pgettext("trend", "too early to tell"),
    }
    return names.get(trend, trend)


@register.filter
def dimension_name(name: str) -> str:
    """A dimension in the reader's language, if it is one of ours."""
    return {"customer": pgettext("dimension", "Customers, old and new")}.get(name, name)


@register.filter
def dimension_names(names: Iterable[str]) -> str:
    """The dimensions of a plan."""
    return ", ".join(dimension_name(name) for name in names)


@register.filter
def group_name(value: str) -> str:
    """A group of a dimension in the reader's language, if it is one of ours."""
    names = {
        "new": pgettext("group", "new: never ordered before"),
        "returning": pgettext("group", "returning: had ordered before"),
    }
    return names.get(value, value)


@register.filter
def rules_name(rules: str) -> str:
    """When a plan ships, in a sentence."""
    names = {
        "clear_signals": gettext("Ships when the primary metric is clearly better and nothing else is harmed."),
        "do_no_harm": gettext("Ships when nothing is harmed."),
    }
    return names.get(rules, rules)


@register.filter
def reason_words(code: str) -> str:
    """Why a number is undefined, in words."""
    return words(Message(code)) if code else ""


@register.filter
def translated(name: str) -> str:
    """A stored name in the reader's language, if it is one of ours."""
    return gettext(name) if name else ""


@register.filter
def metric_name(metric: MetricReport) -> str:
    """The metric's name; those built in are translated."""
    return gettext(metric.name)


@register.filter
def outcome_name(outcome: str) -> str:
    """A verdict in a word, for badges."""
    names = {
        "ship": pgettext("verdict", "Ship"),
        "stop": pgettext("verdict", "Stop"),
        "continue": pgettext("verdict", "Continue"),
        "undecided": pgettext("verdict", "Undecided"),
    }
    return names.get(outcome, outcome)


@register.filter
def transition_name(transition: str) -> str:
    """What happened, for the log."""
    names = {
        "create": gettext("Created"),
        "import": gettext("Imported"),
        "revise": gettext("Changed"),
        "start": gettext("Started"),
        "pause": gettext("Paused"),
        "resume": gettext("Resumed"),
        "stop": gettext("Stopped"),
        "emergency_stop": gettext("Stopped in an emergency"),
        "open_phase": gettext("Traffic changed"),
        "set_ramp": gettext("Ramp changed"),
        "ramp": gettext("Coverage raised"),
        "decide": gettext("Decided"),
        "revert": gettext("Decision taken back"),
        "archive": gettext("Archived"),
    }
    return names.get(transition, transition)


@register.filter
def role_name(role: str) -> str:
    """A metric's part in an experiment, in a word."""
    names = {
        "primary": pgettext("metric role", "primary"),
        "secondary": pgettext("metric role", "secondary"),
        "guardrail": pgettext("metric role", "guardrail"),
    }
    return names.get(role, role)


@register.filter
def alert_kinds(kinds: list[str]) -> str:
    """The kinds of alerts in words."""
    return ", ".join(str(AlertKind(kind).label) for kind in kinds)


@register.filter
def level_icon(level: str) -> str:
    """The icon of a message's level."""
    return {"good": "check", "warning": "warning", "bad": "error"}.get(level, "info")


@register.filter
def verdict_tone(verdict: Verdict) -> str:
    """The class of the verdict's card."""
    return {"ship": "ship", "stop": "stop", "continue": "continue"}.get(verdict.outcome, "warn")
