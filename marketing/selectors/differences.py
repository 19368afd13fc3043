"""What two snapshots of a campaign say differently, in words that a marketer reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.conf import settings
from django.utils.dates import WEEKDAYS
from django.utils.formats import localize
from django.utils.functional import Promise
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from experiments.selectors import list_metrics
from marketing.choices import Cadence, CampaignKind, CampaignStatus, CrashPolicy, Purpose
from marketing.models import Segment, Sender
from recommender.selectors import list_strategy_choices


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is said differently; an empty side says nothing."""

    label: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class _Names:
    """What ids and keys are called."""

    segments: Mapping[int, str]
    senders: Mapping[int, str]
    metrics: Mapping[str, str]
    strategies: Mapping[str, str]


Words = Callable[[Any, _Names], str]


def differences(*, before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Difference, ...]:
    """Return what differs, in the order of the form; the snapshots are those of the change log.

    An empty `before` is a campaign that did not exist. Fields that a snapshot of an older version does not know are
    taken as unsaid.
    """
    names = _names(before, after)
    found = [
        Difference(str(label), said_before, said_after)
        for key, label, words in FIELDS
        for said_before, said_after in [(_said(before, key, words, names), _said(after, key, words, names))]
        if said_before != said_after
    ]
    return (*found, *_arm_differences(before.get("arms") or (), after.get("arms") or (), names))


def _said(snapshot: Mapping[str, Any], key: str, words: Words, names: _Names) -> str:
    value = snapshot.get(key)
    return "" if key not in snapshot or (value is None and key not in SAID_WHEN_EMPTY) else words(value, names)


def _arm_differences(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]], names: _Names
) -> list[Difference]:
    old, new = {arm["key"]: arm for arm in before}, {arm["key"]: arm for arm in after}
    found: list[Difference] = []
    for key in (*new, *(key for key in old if key not in new)):
        arm = new.get(key) or old[key]
        for field, label, words in ARM_FIELDS:
            was, is_now = old.get(key, {}).get(field), new.get(key, {}).get(field)
            pair = (words(was, names) if was else "", words(is_now, names) if is_now else "")
            if pair[0] != pair[1]:
                title = _("%(arm)s: %(what)s") % {"arm": arm.get("name") or key, "what": label}
                found.append(Difference(title, *pair))
        if key not in new:
            found.append(Difference(str(arm.get("name") or key), _("an arm"), ""))
    return found


def _names(*snapshots: Mapping[str, Any]) -> _Names:
    segments = {
        snapshot[key] for snapshot in snapshots for key in ("segment_id", "trigger_segment_id") if snapshot.get(key)
    }
    senders = {snapshot["sender_id"] for snapshot in snapshots if snapshot.get("sender_id")}
    return _Names(
        segments=dict(Segment.objects.filter(pk__in=segments).values_list("pk", "name")) if segments else {},
        senders={row.pk: str(row) for row in Sender.objects.filter(pk__in=senders)} if senders else {},
        metrics={metric.key: metric.name for metric in list_metrics()},
        strategies=dict(list_strategy_choices()),
    )


def _text(value: Any, names: _Names) -> str:
    return str(value)


def _segment(value: Any, names: _Names) -> str:
    return names.segments.get(value, f"#{value}") if value else _("everybody")


def _metric(value: Any, names: _Names) -> str:
    return names.metrics.get(value, str(value))


def _metric_list(value: Any, names: _Names) -> str:
    return ", ".join(_metric(key, names) for key in value)


def _percent(value: Any, names: _Names) -> str:
    return f"{value * 100:g} %"


def _share(value: Any, names: _Names) -> str:
    return f"{value} %"


def _moment(value: Any, names: _Names) -> str:
    return str(localize(localtime(datetime.fromisoformat(value))))


def _hour(value: Any, names: _Names) -> str:
    return f"{value:02d}:00"


def _text_or_nothing(value: Any, names: _Names) -> str:
    return str(value) if value else ""


def _weekdays(value: Any, names: _Names) -> str:
    return ", ".join(str(WEEKDAYS[day]) for day in value)


def _money(value: Any, names: _Names) -> str:
    return f"{value / MICRO:.2f} {settings.REPORTING_CURRENCY}" if value else ""


def _translations(value: Any, names: _Names) -> str:
    return "; ".join(
        " · ".join(text for text in (words["language"], *(words[key] for key in TRANSLATED)) if text) for words in value
    )


def _choice(choices: Sequence[tuple[str, Any]]) -> Words:
    labels = dict(choices)
    return lambda value, names: str(labels.get(value, value))


def _choice_list(choices: Sequence[tuple[str, Any]]) -> Words:
    labels = dict(choices)
    return lambda value, names: ", ".join(str(labels.get(one, one)) for one in value)


MICRO: Final = 1_000_000
TRANSLATED: Final = ("subject", "headline", "body", "button_text")
SAID_WHEN_EMPTY: Final = ("segment_id",)
FIELDS: Final[tuple[tuple[str, str | Promise, Words], ...]] = (
    ("status", gettext_lazy("State"), _choice(CampaignStatus.choices)),
    ("name", gettext_lazy("Name"), _text),
    ("kind", gettext_lazy("Channel"), _choice(CampaignKind.choices)),
    ("segment_id", gettext_lazy("People"), _segment),
    ("consent_purposes", gettext_lazy("Consents needed"), _choice_list(Purpose.choices)),
    ("sender_id", gettext_lazy("Sender"), lambda value, names: names.senders.get(value, f"#{value}")),
    ("goal_metric", gettext_lazy("Goal"), _metric),
    ("guardrail_metrics", gettext_lazy("Guardrails"), _metric_list),
    ("no_control_reason", gettext_lazy("Why there is no control group"), _text),
    ("baseline", gettext_lazy("Expected rate without the campaign"), _percent),
    ("mde", gettext_lazy("Smallest lift worth finding"), _percent),
    ("people_per_day", gettext_lazy("People per day"), _text),
    ("starts_at", gettext_lazy("Start"), _moment),
    ("ends_at", gettext_lazy("End"), _moment),
    ("window_from", gettext_lazy("Send from"), _hour),
    ("window_until", gettext_lazy("Send until"), _hour),
    ("per_minute", gettext_lazy("Messages per minute"), _text),
    ("weekdays", gettext_lazy("Send on"), _weekdays),
    ("expires_hours", gettext_lazy("Too late after (hours)"), _text),
    ("cadence", gettext_lazy("Sent"), _choice(Cadence.choices)),
    ("every_days", gettext_lazy("Every so many days"), _text),
    ("trigger_event", gettext_lazy("After this event"), _text),
    ("trigger_segment_id", gettext_lazy("On entering this segment"), _segment),
    ("delay_minutes", gettext_lazy("Minutes later"), _text_or_nothing),
    ("cancel_event", gettext_lazy("Unless this happened since"), _text),
    ("again_days", gettext_lazy("Again after (days)"), _text),
    ("crash_policy", gettext_lazy("If a worker dies"), _choice(CrashPolicy.choices)),
    ("fixed_cost", gettext_lazy("Fixed cost"), _money),
    ("message_cost", gettext_lazy("Cost per message"), _money),
    ("margin", gettext_lazy("Margin"), _percent),
    ("unsubscribe_ceiling", gettext_lazy("Most unsubscribes"), _percent),
    ("complaint_ceiling", gettext_lazy("Most complaints"), _percent),
)
ARM_FIELDS: Final[tuple[tuple[str, str | Promise, Words], ...]] = (
    ("name", gettext_lazy("name"), _text),
    ("percent", gettext_lazy("share of people"), _share),
    ("subject", gettext_lazy("subject"), _text),
    ("headline", gettext_lazy("headline"), _text),
    ("body", gettext_lazy("text"), _text),
    ("button_text", gettext_lazy("button"), _text),
    ("link", gettext_lazy("button leads to"), _text),
    ("image", gettext_lazy("picture"), _text),
    (
        "strategy",
        gettext_lazy("recommendations"),
        lambda value, names: names.strategies.get(value, str(value)),
    ),
    ("item_count", gettext_lazy("number of items"), _text),
    ("translations", gettext_lazy("other languages"), _translations),
)
