"""The launch checklist: what must be true of a draft, each with its reason when it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from experiments.selectors import list_metrics
from experiments.services.planning import SampleSizePlan, plan
from marketing.choices import Cadence, CampaignKind
from marketing.creatives.lint import bad_links
from marketing.creatives.templates import BadTemplate
from marketing.models import EventType, Segment
from marketing.services.campaigns import ArmDraft, CampaignDraft, Words
from marketing.services.sending.rendering import unknown_names
from recommender.selectors import list_strategy_choices

LONGEST_DAYS: Final = 180
"""Half a year: a test that needs longer answers a question nobody remembers."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the checklist."""

    code: str
    label: str
    is_done: bool
    reason: str
    """Empty when it is done; otherwise what is missing and what to do."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a draft may name."""

    strategies: frozenset[str]
    metrics: frozenset[str]
    segment_members: int | None
    """People in the draft's segment; None for everybody."""
    events: frozenset[str]
    """Which of the events that the draft names were ever stored."""
    is_trigger_gone: bool
    """Whether the segment whose entry starts it is archived."""


def sample_size(*, draft: CampaignDraft) -> SampleSizePlan:
    """Return how many people the draft needs and how long that takes at its traffic."""
    arms = sorted(draft.arms, key=lambda arm: not arm.is_control)
    return plan(
        baseline=draft.baseline,
        mde=draft.mde,
        weights=[arm.percent / 100 for arm in arms if arm.percent],
        daily_units=draft.people_per_day,
    )


def launch_checks(*, draft: CampaignDraft) -> tuple[Check, ...]:
    """Return the checklist of a draft, in the order of the form."""
    known = _known(draft)
    return tuple(
        Check(code=code, label=str(label), is_done=not reason, reason=reason)
        for code, label, rule in RULES
        if code not in MAIL_ONLY or draft.kind == CampaignKind.EMAIL
        for reason in [rule(draft, known)]
    )


def reasons_against(checks: Iterable[Check]) -> list[str]:
    """Return what stands in the way of a launch."""
    return [check.reason for check in checks if not check.is_done]


def _known(draft: CampaignDraft) -> Known:
    members = None
    if draft.segment_id is not None:
        members = Segment.objects.values_list("members_n", flat=True).filter(pk=draft.segment_id).first() or 0
    return Known(
        strategies=frozenset(slug for slug, _name in list_strategy_choices()),
        metrics=frozenset(metric.key for metric in list_metrics()),
        segment_members=members,
        events=_stored_events(draft.trigger_event, draft.cancel_event),
        is_trigger_gone=draft.trigger_segment_id is not None
        and Segment.objects.filter(pk=draft.trigger_segment_id, archived_at__isnull=False).exists(),
    )


def _stored_events(*names: str) -> frozenset[str]:
    named = [name for name in names if name]
    return frozenset(EventType.objects.filter(name__in=named).values_list("name", flat=True)) if named else frozenset()


def _people(draft: CampaignDraft, known: Known) -> str:
    if known.segment_members == 0:
        return _("The segment has no members. Refresh it, or choose another one.")
    return ""


def _consent(draft: CampaignDraft, known: Known) -> str:
    if "analytics" not in draft.consent_purposes:
        return _("Measuring needs the consent to analytics.")
    if any(arm.strategy for arm in draft.arms) and "personalization" not in draft.consent_purposes:
        return _("Recommendations need the consent to personalization.")
    return ""


def _control(draft: CampaignDraft, known: Known) -> str:
    control = next((arm for arm in draft.arms if arm.is_control), None)
    if control is None:
        return _("One arm must be the control, the experience that the others are compared with.")
    if control.percent == 0 and not has_no_control(draft):
        return _("Nobody is in the control group. Give it a share, or write down why this campaign has none.")
    return ""


def has_no_control(draft: CampaignDraft) -> bool:
    """Tell whether nobody is kept out, for a reason that somebody wrote down."""
    return bool(draft.no_control_reason.strip()) and all(arm.percent == 0 for arm in draft.arms if arm.is_control)


def _arms(draft: CampaignDraft, known: Known) -> str:
    treated = [arm for arm in draft.arms if not arm.is_control and arm.percent]
    if not treated:
        return _("Add at least one arm beside the control, with a share of the people.")
    unnamed = [arm.name or arm.key for arm in draft.arms if not arm.headline and not _is_silent(draft, arm)]
    if unnamed:
        return _("No headline yet: %(arms)s.") % {"arms": ", ".join(unnamed)}
    return ""


def _is_silent(draft: CampaignDraft, arm: ArmDraft) -> bool:
    """Tell whether the arm is a sending's usual control: its people get no message."""
    return draft.kind == CampaignKind.EMAIL and arm.is_control and not arm.subject


def _mail(draft: CampaignDraft, known: Known) -> str:
    if draft.sender_id is None:
        return _("Choose the sender: the law asks for a name and a postal address in every message.")
    written = [arm for arm in draft.arms if not _is_silent(draft, arm)]
    unnamed = [arm.name or arm.key for arm in written if not arm.subject.strip()]
    if unnamed:
        return _("No subject yet: %(arms)s.") % {"arms": ", ".join(unnamed)}
    said: list[tuple[str, ArmDraft | Words]] = [(arm.name, arm) for arm in written]
    said += [(f"{arm.name} ({words.language})", words) for arm in written for words in arm.translations]
    return next((reason for name, words in said if (reason := _wrong_words(name, words))), "")


def _wrong_words(name: str, words: ArmDraft | Words) -> str:
    """Say what is wrong with an arm's words in one language; empty where nothing is."""
    if words.subject.strip().lower().startswith(("re:", "aw:", "fwd:", "fw:", "wg:")):
        return _("The subject of %(arm)s pretends to be an answer. Take away “Re:” or “Fwd:”.") % {"arm": name}
    if links := bad_links(words.body):
        return _("A link of %(arm)s leads nowhere in a mailbox: “%(link)s”. Write the whole address.") % {
            "arm": name,
            "link": links[0],
        }
    try:
        unknown = unknown_names(subject=words.subject, headline=words.headline, body=words.body)
    except BadTemplate as error:
        return _("The text of %(arm)s cannot be read: %(error)s") % {"arm": name, "error": error}
    if unknown:
        return _("%(arm)s names what no message has: %(names)s.") % {"arm": name, "names": ", ".join(unknown)}
    return ""


def _timing(draft: CampaignDraft, known: Known) -> str:
    if draft.cadence == Cadence.RECURRING and draft.starts_at is not None and draft.ends_at is not None:
        is_over = draft.ends_at - draft.starts_at < timedelta(days=draft.every_days or 0)
        return _("It ends before it would be sent a second time. Let it end later, or send it once.") if is_over else ""
    return _trigger(draft, known) if draft.cadence == Cadence.TRIGGERED else ""


def _trigger(draft: CampaignDraft, known: Known) -> str:
    if draft.trigger_event and draft.trigger_event == draft.cancel_event:
        return _("The event that starts it also cancels it: nobody would get anything.")
    named = {name for name in (draft.trigger_event, draft.cancel_event) if name}
    if unknown := sorted(named - known.events):
        return _("Nobody has ever done this: %(events)s. Check how the shop spells it.") % {
            "events": ", ".join(f"“{name}”" for name in unknown)
        }
    if known.is_trigger_gone:
        return _("The segment that starts it is in the archive: nobody enters it any more.")
    return ""


def _difference(draft: CampaignDraft, known: Known) -> str:
    shown = {
        (arm.subject, arm.headline, arm.body, arm.button_text, arm.image, arm.link, arm.strategy) for arm in draft.arms
    }
    if len(shown) < len(draft.arms):
        return _("Two arms show the same. Change the words or the recommendations of one.")
    return ""


def _shares(draft: CampaignDraft, known: Known) -> str:
    total = sum(arm.percent for arm in draft.arms)
    return "" if total == 100 else _("The shares add up to %(total)s %%, not to 100 %%.") % {"total": total}


def _strategies(draft: CampaignDraft, known: Known) -> str:
    unknown = sorted({arm.strategy for arm in draft.arms if arm.strategy} - known.strategies)
    return _("No such recommendations: %(slugs)s.") % {"slugs": ", ".join(unknown)} if unknown else ""


def _metrics(draft: CampaignDraft, known: Known) -> str:
    named = {draft.goal_metric, *draft.guardrail_metrics}
    unknown = sorted(named - known.metrics)
    if unknown:
        return _("No such metric: %(keys)s.") % {"keys": ", ".join(unknown)}
    if draft.goal_metric in draft.guardrail_metrics:
        return _("The goal cannot be its own guardrail.")
    return ""


def _duration(draft: CampaignDraft, known: Known) -> str:
    if has_no_control(draft):
        return ""  # there is nothing to find out
    size = sample_size(draft=draft)
    if size.total is None:
        return _("The number of people cannot be planned: check the expected rate, the lift and the shares.")
    if size.days is None or size.days > LONGEST_DAYS:
        return _("It would take longer than %(days)s days. Look for a larger lift, or address more people.") % {
            "days": LONGEST_DAYS
        }
    return ""


MAIL_ONLY: Final = ("mail", "timing")
Rule = Callable[[CampaignDraft, Known], str]
RULES: Final[tuple[tuple[str, str | Promise, Rule], ...]] = (
    ("people", gettext_lazy("People to address"), _people),
    ("consent", gettext_lazy("Consent that covers it"), _consent),
    ("control", gettext_lazy("A control group"), _control),
    ("arms", gettext_lazy("Something to compare"), _arms),
    ("mail", gettext_lazy("A message that may be sent"), _mail),
    ("timing", gettext_lazy("A time when it is sent"), _timing),
    ("difference", gettext_lazy("Arms that differ"), _difference),
    ("shares", gettext_lazy("Shares that add up"), _shares),
    ("strategies", gettext_lazy("Recommendations that exist"), _strategies),
    ("metrics", gettext_lazy("A goal and guardrails"), _metrics),
    ("duration", gettext_lazy("Enough people in a sensible time"), _duration),
)
