"""Reads of campaigns: what the pages list, and the configuration that the campaign page serves from."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Final

from django.db.models import QuerySet, Sum

from marketing.choices import CampaignStatus, Outside
from marketing.errors import UnknownCampaign
from marketing.models import Campaign, CampaignArm, ChangeLog
from recommender.selectors import list_strategy_choices

CONFIG_SECONDS: Final = 2.0
"""How long a process may serve from what it knows: an emergency stop must act within 5 seconds."""
PUBLIC: Final = (CampaignStatus.RUNNING, CampaignStatus.PAUSED, CampaignStatus.FINISHED)
TRANSLATED: Final = ("subject", "headline", "body", "button_text")
MOST_CONFIGS: Final = 1000
"""Unknown slugs are never kept, so this bounds the number of live campaigns, not of requests."""


@dataclass(frozen=True, slots=True)
class Words:
    """What an arm says in another language; an empty text falls back to the arm's own."""

    language: str
    subject: str = ""
    headline: str = ""
    body: str = ""
    button_text: str = ""


@dataclass(frozen=True, slots=True)
class ArmConfig:
    """What one arm shows."""

    key: str
    name: str
    is_control: bool
    subject: str
    headline: str
    body: str
    button_text: str
    image: str
    link_id: int | None
    strategy: str
    item_count: int
    translations: tuple[Words, ...] = ()

    def in_language(self, language: str) -> ArmConfig:
        """Return the arm in the words of a person's language (`de-AT`, then `de`); what is missing stays as it is."""
        tag = language.replace("_", "-").lower()
        by_tag = {words.language.lower(): words for words in self.translations}
        words = by_tag.get(tag) or by_tag.get(tag.partition("-")[0])
        if words is None:
            return self
        said = {name: getattr(words, name) for name in TRANSLATED}
        return replace(self, **{name: text for name, text in said.items() if text})


@dataclass(frozen=True, slots=True)
class CampaignConfig:
    """What the campaign page needs, without a query while it is fresh."""

    pk: int
    slug: str
    name: str
    status: str
    segment_id: int | None
    experiment_key: str
    consent_purposes: tuple[str, ...]
    arms: tuple[ArmConfig, ...]

    @property
    def is_running(self) -> bool:
        return self.status == CampaignStatus.RUNNING

    @property
    def default_arm(self) -> ArmConfig:
        """The experience outside the experiment."""
        return next((arm for arm in self.arms if arm.is_control), self.arms[0])

    def arm(self, key: str) -> ArmConfig | None:
        """Return the arm with this key."""
        return next((arm for arm in self.arms if arm.key == key), None)


_configs: dict[str, tuple[float, CampaignConfig]] = {}


def clear_config_cache() -> None:
    """Forget what this process knows of campaigns."""
    _configs.clear()


def page_config(*, slug: str) -> CampaignConfig:
    """Return the configuration of a campaign, at most `CONFIG_SECONDS` old."""
    now = time.monotonic()
    known = _configs.get(slug)
    if known is not None and now - known[0] < CONFIG_SECONDS:
        return known[1]
    config = _read_config(slug)
    if len(_configs) >= MOST_CONFIGS:
        _configs.clear()
    _configs[slug] = (now, config)
    return config


def public_config(*, slug: str) -> CampaignConfig:
    """Return the configuration of a campaign that the public may see; a draft does not exist for it."""
    config = page_config(slug=slug)
    if config.status not in PUBLIC:
        raise UnknownCampaign(f"The campaign {slug!r} is not public.")
    return config


def _read_config(slug: str) -> CampaignConfig:
    campaign = Campaign.objects.filter(slug=slug).first()
    if campaign is None:
        raise UnknownCampaign(f"There is no campaign {slug!r}.")
    arms = tuple(arm_config(arm) for arm in arms_of(campaign=campaign))
    return CampaignConfig(
        pk=campaign.pk,
        slug=campaign.slug,
        name=campaign.name,
        status=campaign.status,
        segment_id=campaign.segment_id,
        experiment_key=campaign.experiment_key,
        consent_purposes=tuple(campaign.consent_purposes),
        arms=arms,
    )


def arm_config(arm: CampaignArm) -> ArmConfig:
    """Return what a stored arm shows."""
    return ArmConfig(
        key=arm.key,
        name=arm.name,
        is_control=arm.is_control,
        subject=arm.creative.subject,
        headline=arm.creative.headline,
        body=arm.creative.body,
        button_text=arm.creative.button_text,
        image=arm.creative.image,
        link_id=arm.link_id,
        strategy=arm.strategy,
        item_count=arm.item_count,
        translations=tuple(Words(**words) for words in arm.creative.translations),
    )


def arms_of(*, campaign: Campaign) -> QuerySet[CampaignArm]:
    """Return the arms in their order, with creative and link."""
    return campaign.arms.select_related("creative", "link").order_by("position")


def list_campaigns(*, status: str = "") -> QuerySet[Campaign]:
    """Return campaigns with their segment, newest first."""
    campaigns = Campaign.objects.select_related("segment", "owner")
    if status:
        campaigns = campaigns.filter(status=status)
    return campaigns.order_by("-created_at", "-pk")


def get_campaign(*, slug: str) -> Campaign:
    """Return a campaign with its segments and its sender."""
    related = ("segment", "owner", "sender", "trigger_segment")
    campaign = Campaign.objects.select_related(*related).filter(slug=slug).first()
    if campaign is None:
        raise UnknownCampaign(f"There is no campaign {slug!r}.")
    return campaign


def activity(*, campaign: Campaign, limit: int = 50) -> QuerySet[ChangeLog]:
    """Return what happened to a campaign, newest first."""
    log = ChangeLog.objects.filter(object_type="campaign", object_id=str(campaign.pk)).select_related("actor")
    return log.order_by("-at", "-pk")[:limit]


@dataclass(frozen=True, slots=True)
class ArmRow:
    """One arm as the back office shows it."""

    arm: CampaignArm
    strategy_name: str
    """Empty where the arm has no recommendations."""


def described_arms(*, campaign: Campaign) -> list[ArmRow]:
    """Return the arms with the names of their strategies."""
    names = dict(list_strategy_choices())
    return [ArmRow(arm, names.get(arm.strategy, arm.strategy)) for arm in arms_of(campaign=campaign)]


@dataclass(frozen=True, slots=True)
class OutsideRow:
    """How often the default was shown for one reason."""

    reason: str
    label: str
    n: int


def outside_counts(*, campaign: Campaign) -> list[OutsideRow]:
    """Return how often the slot showed the default outside the experiment, by reason, the most frequent first."""
    rows = campaign.outside_counts.values_list("reason").annotate(total=Sum("n")).order_by("-total", "reason")
    return [OutsideRow(reason=reason, label=str(Outside(reason).label), n=total) for reason, total in rows]
