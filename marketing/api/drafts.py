"""What a draft of a campaign is, as JSON: the fields of `CampaignDraft`, with slugs and addresses instead of keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from rest_framework import serializers

from config.webapi.endpoint import Strict
from experiments.selectors import list_metrics
from marketing.choices import Cadence, CampaignKind, CrashPolicy, Purpose
from marketing.creatives.templates import LONGEST_SOURCE
from marketing.errors import InvalidCampaign
from marketing.selectors.campaigns import Words
from marketing.selectors.records import get_sender
from marketing.selectors.segments import get_segment
from marketing.services.campaigns import MOST_ARMS, ArmDraft, CampaignDraft
from recommender.selectors import list_strategy_choices

MOST_MONEY: Final = 10**15
MOST_METRICS: Final = 20
MOST_LANGUAGES: Final = 40


class WordsIn(Strict):
    language = serializers.RegexField(r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})?\Z", max_length=12)
    subject = serializers.CharField(max_length=150, allow_blank=True, required=False)
    headline = serializers.CharField(max_length=120, allow_blank=True, required=False)
    body = serializers.CharField(max_length=LONGEST_SOURCE, allow_blank=True, required=False)
    button_text = serializers.CharField(max_length=40, allow_blank=True, required=False)


class CampaignArmIn(Strict):
    key = serializers.RegexField(r"^[-a-zA-Z0-9_]+\Z", max_length=64)
    name = serializers.CharField(max_length=100)
    is_control = serializers.BooleanField(required=False)
    percent = serializers.IntegerField(min_value=0, max_value=100)
    subject = serializers.CharField(max_length=150, allow_blank=True, required=False)
    headline = serializers.CharField(max_length=120, allow_blank=True, required=False)
    body = serializers.CharField(max_length=LONGEST_SOURCE, allow_blank=True, required=False)
    button_text = serializers.CharField(max_length=40, allow_blank=True, required=False)
    link = serializers.CharField(max_length=500, allow_blank=True, required=False)
    image = serializers.RegexField(r"^[\w./-]*\Z", max_length=200, allow_blank=True, required=False)
    strategy = serializers.CharField(max_length=64, allow_blank=True, required=False)
    item_count = serializers.IntegerField(min_value=1, max_value=24, required=False)
    translations = serializers.ListField(child=WordsIn(), max_length=MOST_LANGUAGES, required=False)


class DraftChange(Strict):
    """What is left out stays; a list replaces the list."""

    name = serializers.CharField(max_length=100, required=False)
    goal_metric = serializers.SlugField(max_length=64, required=False)
    arms = serializers.ListField(child=CampaignArmIn(), min_length=1, max_length=MOST_ARMS, required=False)
    segment = serializers.CharField(
        max_length=64, allow_null=True, required=False, help_text="Its slug; null: everybody who consented."
    )
    guardrail_metrics = serializers.ListField(
        child=serializers.SlugField(max_length=64), max_length=MOST_METRICS, required=False
    )
    consent_purposes = serializers.ListField(
        child=serializers.ChoiceField([Purpose.ANALYTICS.value, Purpose.PERSONALIZATION.value]),
        max_length=2,
        required=False,
    )
    no_control_reason = serializers.CharField(max_length=300, allow_blank=True, required=False)
    baseline = serializers.FloatField(min_value=1e-6, max_value=0.99, required=False)
    mde = serializers.FloatField(min_value=0.001, max_value=5.0, required=False, help_text="Relative: 0.1 is 10 %.")
    people_per_day = serializers.IntegerField(min_value=1, max_value=100_000_000, required=False)
    starts_at = serializers.DateTimeField(allow_null=True, required=False)
    ends_at = serializers.DateTimeField(allow_null=True, required=False)
    sender = serializers.EmailField(allow_null=True, required=False, help_text="E-mail only, as what follows.")
    crash_policy = serializers.ChoiceField(CrashPolicy.choices, required=False)
    window_from = serializers.IntegerField(min_value=0, max_value=23, required=False)
    window_until = serializers.IntegerField(min_value=1, max_value=24, required=False)
    per_minute = serializers.IntegerField(min_value=1, max_value=2**31 - 1, allow_null=True, required=False)
    weekdays = serializers.ListField(
        child=serializers.IntegerField(min_value=0, max_value=6), min_length=1, max_length=7, required=False
    )
    expires_hours = serializers.IntegerField(min_value=1, max_value=10_000, allow_null=True, required=False)
    cadence = serializers.ChoiceField(Cadence.choices, required=False)
    every_days = serializers.IntegerField(min_value=1, max_value=366, allow_null=True, required=False)
    trigger_event = serializers.CharField(max_length=100, allow_blank=True, required=False)
    trigger_segment = serializers.CharField(max_length=64, allow_null=True, required=False, help_text="Its slug.")
    delay_minutes = serializers.IntegerField(min_value=0, max_value=525_600, required=False)
    cancel_event = serializers.CharField(max_length=100, allow_blank=True, required=False)
    again_days = serializers.IntegerField(min_value=1, max_value=3_660, allow_null=True, required=False)
    fixed_cost = serializers.IntegerField(
        min_value=0, max_value=MOST_MONEY, required=False, help_text="In millionths of the reporting currency."
    )
    message_cost = serializers.IntegerField(min_value=0, max_value=MOST_MONEY, required=False)
    margin = serializers.FloatField(min_value=1e-6, max_value=1.0, allow_null=True, required=False)
    unsubscribe_ceiling = serializers.FloatField(min_value=1e-6, max_value=0.99, allow_null=True, required=False)
    complaint_ceiling = serializers.FloatField(min_value=1e-6, max_value=0.99, allow_null=True, required=False)


class DraftIn(DraftChange):
    slug = serializers.RegexField(
        r"^[-a-zA-Z0-9_]+\Z", max_length=64, required=False, help_text="Left out: made of the name."
    )
    kind = serializers.ChoiceField(CampaignKind.choices, default=CampaignKind.PAGE.value)
    name = serializers.CharField(max_length=100)
    goal_metric = serializers.SlugField(max_length=64)
    arms = serializers.ListField(child=CampaignArmIn(), min_length=1, max_length=MOST_ARMS)


def draft_from(values: Mapping[str, Any], base: CampaignDraft | None = None) -> CampaignDraft:
    """Return what a body says, over what was there. Raises `InvalidCampaign` for what does not exist."""
    parts = dict(values)
    if "arms" in parts:
        parts["arms"] = tuple(_arm(arm) for arm in parts["arms"])
        _refuse_unknown("strategy", {arm.strategy for arm in parts["arms"]}, dict(list_strategy_choices()))
    metrics = {parts.get("goal_metric", ""), *parts.get("guardrail_metrics", ())}
    if metrics != {""}:
        _refuse_unknown("metric", metrics, {metric.key: metric.name for metric in list_metrics()})
    for name in ("segment", "trigger_segment"):
        if name in parts:
            parts[f"{name}_id"] = _segment_id(parts.pop(name))
    if "sender" in parts:
        parts["sender_id"] = _sender_id(parts.pop("sender"))
    for name in ("guardrail_metrics", "consent_purposes", "weekdays"):
        if name in parts:
            parts[name] = tuple(sorted(set(parts[name])) if name == "weekdays" else dict.fromkeys(parts[name]))
    draft = CampaignDraft(**parts) if base is None else replace(base, **parts)
    if draft.starts_at and draft.ends_at and draft.ends_at <= draft.starts_at:
        raise InvalidCampaign("The end must come after the start.")
    return draft


def _arm(values: Mapping[str, Any]) -> ArmDraft:
    words = tuple(Words(**one) for one in values.get("translations", ()))
    return ArmDraft(**{**values, "translations": words})


def _segment_id(slug: str | None) -> int | None:
    if slug is None:
        return None
    segment = get_segment(slug=slug)
    if segment is None or segment.archived_at is not None:
        raise InvalidCampaign(f"There is no segment {slug!r} in use.")
    return segment.pk


def _sender_id(email: str | None) -> int | None:
    if email is None:
        return None
    sender = get_sender(email=email)
    if sender is None:
        raise InvalidCampaign(f"There is no sender {email!r}.")
    return sender.pk


def _refuse_unknown(what: str, given: set[str], known: Mapping[str, str]) -> None:
    missing = sorted(given - known.keys() - {""})
    if missing:
        raise InvalidCampaign(f"There is no {what} {missing[0]!r}. There are: {', '.join(sorted(known))}.")
