"""Making and changing campaigns while they are drafts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.http import url_has_allowed_host_and_scheme

from marketing.choices import Cadence, CampaignKind, CampaignStatus, CrashPolicy
from marketing.creatives.html import clean
from marketing.errors import CannotTransition, InvalidCampaign
from marketing.models import Campaign, CampaignArm, ChangeLog, Creative, Link
from marketing.selectors.campaigns import Words, arms_of
from marketing.services.slugs import unused_slug

DEFAULT_PURPOSES: Final = ("analytics", "personalization")
MOST_ARMS: Final = 8
"""More arms than this split the traffic into samples that answer nothing."""


__all__ = [
    "DEFAULT_PURPOSES",
    "EVERY_DAY",
    "MOST_ARMS",
    "ArmDraft",
    "CampaignDraft",
    "Words",
    "create_campaign",
    "draft_of",
    "free_slug",
    "is_safe_target",
    "log_change",
    "revise_campaign",
    "snapshot_of",
]

EVERY_DAY: Final = (0, 1, 2, 3, 4, 5, 6)
RESERVED: Final = frozenset(("new", "panel"))
"""Addresses of pages that stand where a campaign's slug would."""


@dataclass(frozen=True, slots=True)
class ArmDraft:
    """One compared experience, as somebody wrote it down."""

    key: str
    name: str
    percent: int
    headline: str = ""
    subject: str = ""
    """E-mail only; a control without one gets no message."""
    body: str = ""
    button_text: str = ""
    image: str = ""
    link: str = ""
    strategy: str = ""
    item_count: int = 4
    is_control: bool = False
    translations: tuple[Words, ...] = ()


@dataclass(frozen=True, slots=True)
class CampaignDraft:
    """A campaign before it is launched."""

    slug: str
    name: str
    goal_metric: str
    arms: tuple[ArmDraft, ...]
    segment_id: int | None = None
    guardrail_metrics: tuple[str, ...] = ()
    consent_purposes: tuple[str, ...] = DEFAULT_PURPOSES
    no_control_reason: str = ""
    baseline: float = 0.05
    mde: float = 0.1
    people_per_day: int = 100
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    is_demo: bool = False
    kind: str = CampaignKind.PAGE.value
    sender_id: int | None = None
    crash_policy: str = CrashPolicy.HOLD.value
    window_from: int = 8
    window_until: int = 20
    per_minute: int | None = None
    weekdays: tuple[int, ...] = EVERY_DAY
    """0 is Monday."""
    expires_hours: int | None = None
    cadence: str = Cadence.ONCE.value
    every_days: int | None = None
    trigger_event: str = ""
    trigger_segment_id: int | None = None
    delay_minutes: int = 0
    cancel_event: str = ""
    again_days: int | None = None
    fixed_cost: int = 0
    """In millionths of the reporting currency, as `message_cost`."""
    message_cost: int = 0
    margin: float | None = None
    unsubscribe_ceiling: float | None = None
    complaint_ceiling: float | None = None


PLAIN: Final = (
    "name", "segment_id", "goal_metric", "no_control_reason", "baseline", "mde", "people_per_day", "starts_at",
    "ends_at", "kind", "sender_id", "crash_policy", "window_from", "window_until", "per_minute", "expires_hours",
    "cadence", "every_days", "trigger_event", "trigger_segment_id", "delay_minutes", "cancel_event", "again_days",
    "fixed_cost", "message_cost", "margin", "unsubscribe_ceiling", "complaint_ceiling",
)  # fmt: skip
"""What a draft and its row hold under the same name and in the same form."""
LISTS: Final = ("guardrail_metrics", "consent_purposes", "weekdays")
"""Tuples in a draft, JSON lists in its row."""


@transaction.atomic
def create_campaign(*, draft: CampaignDraft, at: datetime, actor: User | None = None) -> Campaign:
    """Store a draft."""
    _refuse_nonsense(draft)
    if draft.slug in RESERVED:
        raise InvalidCampaign(f"The slug {draft.slug!r} is an address beside those of campaigns.")
    campaign, is_new = Campaign.objects.get_or_create(
        slug=draft.slug,
        defaults={"created_at": at, "owner": actor, "is_demo": draft.is_demo, **_columns(draft)},
    )
    if not is_new:
        raise InvalidCampaign(f"There is a campaign {draft.slug!r} already.")
    _store_arms(campaign, draft.arms, at=at, actor=actor)
    log_change(campaign=campaign, transition="create", at=at, actor=actor)
    return campaign


@transaction.atomic
def revise_campaign(*, campaign_id: int, draft: CampaignDraft, at: datetime, actor: User | None = None) -> Campaign:
    """Replace what a draft says; the slug stays. A launched campaign is frozen."""
    _refuse_nonsense(draft)
    changed = Campaign.objects.filter(pk=campaign_id, status=CampaignStatus.DRAFT).update(**_columns(draft))
    if not changed:
        raise CannotTransition("revise", ["Only a draft can be changed: the plan is frozen at the launch."])
    campaign = Campaign.objects.get(pk=campaign_id)
    campaign.arms.all().delete()
    _store_arms(campaign, draft.arms, at=at, actor=actor)
    log_change(campaign=campaign, transition="revise", at=at, actor=actor)
    return campaign


def draft_of(*, campaign: Campaign) -> CampaignDraft:
    """Return a stored campaign as a draft (for the checklist, the form and a copy)."""
    stored: dict[str, Any] = {name: getattr(campaign, name) for name in PLAIN}
    stored |= {name: tuple(getattr(campaign, name)) for name in LISTS}
    return CampaignDraft(
        slug=campaign.slug,
        is_demo=campaign.is_demo,
        **stored,
        arms=tuple(
            ArmDraft(
                key=arm.key,
                name=arm.name,
                percent=arm.percent,
                subject=arm.creative.subject,
                headline=arm.creative.headline,
                body=arm.creative.body,
                button_text=arm.creative.button_text,
                image=arm.creative.image,
                link=arm.link.url if arm.link else "",
                strategy=arm.strategy,
                item_count=arm.item_count,
                is_control=arm.is_control,
                translations=tuple(Words(**words) for words in arm.creative.translations),
            )
            for arm in arms_of(campaign=campaign)
        ),
    )


def free_slug(*, name: str) -> str:
    """Return a slug for the name that no campaign has."""
    return unused_slug(name, rows=Campaign.objects.all(), reserved=RESERVED, usual="campaign")


def is_safe_target(url: str) -> bool:
    """Tell whether a click may lead there: http(s) or a path of this host; no script, no data, no trick."""
    is_local = url.startswith("/") and url_has_allowed_host_and_scheme(url, allowed_hosts=None)
    is_web = url.startswith(("https://", "http://"))
    return (is_local or is_web) and not any(ord(char) < 33 or char == "\\" for char in url)


def log_change(
    *, campaign: Campaign, transition: str, at: datetime, actor: User | None = None, message: str = ""
) -> None:
    """Write one row of the change log; call it in the transaction of the change."""
    ChangeLog.objects.create(
        object_type="campaign",
        object_id=str(campaign.pk),
        transition=transition,
        actor=actor,
        at=at,
        message=message,
        snapshot=snapshot_of(campaign=campaign),
    )


def snapshot_of(*, campaign: Campaign) -> dict[str, Any]:
    """Return everything a campaign says now, as its change log keeps it."""
    draft: Mapping[str, Any] = asdict(draft_of(campaign=campaign))
    times = {name: value.isoformat() if value else None for name, value in draft.items() if name.endswith("_at")}
    return {"schema": 1, "status": campaign.status, **draft, **times}


def _columns(draft: CampaignDraft) -> dict[str, Any]:
    plain = {name: getattr(draft, name) for name in PLAIN}
    return plain | {name: list(getattr(draft, name)) for name in LISTS}


def _refuse_nonsense(draft: CampaignDraft) -> None:
    """Refuse what no draft may hold; what is merely unfinished is the checklist's business."""
    keys = [arm.key for arm in draft.arms]
    if len(set(keys)) != len(keys):
        raise InvalidCampaign("Two arms have the same key.")
    if sum(arm.is_control for arm in draft.arms) > 1:
        raise InvalidCampaign("A campaign has at most one control.")
    if len(draft.arms) > MOST_ARMS:
        raise InvalidCampaign(f"A campaign has at most {MOST_ARMS} arms.")
    _refuse_nonsense_times(draft)
    for arm in draft.arms:
        if arm.link and not is_safe_target(arm.link):
            raise InvalidCampaign(f"The button of {arm.name!r} leads to {arm.link!r}; it must be a web address.")
        if not 0 <= arm.percent <= 100:
            raise InvalidCampaign(f"The share of {arm.name!r} is not between 0 and 100 %.")


def _refuse_nonsense_times(draft: CampaignDraft) -> None:
    if not 0 <= draft.window_from < draft.window_until <= 24:
        raise InvalidCampaign(
            f"Hours from {draft.window_from} to {draft.window_until}: the end must be later, 24 at most."
        )
    if not draft.weekdays or not set(draft.weekdays) <= set(EVERY_DAY):
        raise InvalidCampaign(f"Weekdays {draft.weekdays}: choose at least one, from 0 (Monday) to 6.")
    if draft.cadence == Cadence.RECURRING and not draft.every_days:
        raise InvalidCampaign("A campaign that is sent again and again needs the number of days between.")
    if draft.cadence == Cadence.TRIGGERED and bool(draft.trigger_event) == (draft.trigger_segment_id is not None):
        raise InvalidCampaign("A triggered campaign starts with an event or with a segment, one of them.")


def _store_arms(campaign: Campaign, arms: Sequence[ArmDraft], *, at: datetime, actor: User | None) -> None:
    for position, arm in enumerate(arms):
        link = Link.objects.get_or_create(campaign=campaign, url=arm.link)[0] if arm.link else None
        CampaignArm.objects.create(
            campaign=campaign,
            key=arm.key,
            name=arm.name,
            is_control=arm.is_control,
            position=position,
            creative=_creative(campaign, arm, at=at, actor=actor),
            strategy=arm.strategy,
            item_count=arm.item_count,
            percent=arm.percent,
            link=link,
        )


def _creative(campaign: Campaign, arm: ArmDraft, *, at: datetime, actor: User | None) -> Creative:
    """Return the newest version if it says the same, otherwise store the next one."""
    key = f"{campaign.slug}/{arm.key}"
    is_html = campaign.kind == CampaignKind.EMAIL
    body = clean(arm.body) if is_html else arm.body
    others = [asdict(words) | {"body": clean(words.body) if is_html else words.body} for words in arm.translations]
    words = {
        "subject": arm.subject,
        "headline": arm.headline,
        "body": body,
        "button_text": arm.button_text,
        "image": arm.image,
        "translations": others,
    }
    newest = Creative.objects.filter(key=key).order_by("-version").first()
    if newest is not None and all(getattr(newest, name) == value for name, value in words.items()):
        return newest
    version = 1 if newest is None else newest.version + 1
    return Creative.objects.create(key=key, version=version, created_at=at, created_by=actor, **words)
