"""How many people a draft concerns: what a second person asks first."""

from __future__ import annotations

from dataclasses import dataclass

from django.core.cache import cache

from marketing.choices import CampaignKind
from marketing.services.audience import REACH_SECONDS, reachable
from marketing.services.campaigns import CampaignDraft
from marketing.services.sending.audience import audience


@dataclass(frozen=True, slots=True)
class AffectedArm:
    """One arm and about how many people it gets."""

    name: str
    percent: int
    people: int
    is_silent: bool
    """Whether its people get no message."""


@dataclass(frozen=True, slots=True)
class Affected:
    """How many people can be addressed now, and how they divide; holdouts come off these numbers."""

    people: int
    arms: tuple[AffectedArm, ...]

    @property
    def messages(self) -> int:
        """How many get something."""
        return sum(arm.people for arm in self.arms if not arm.is_silent)


def affected(*, draft: CampaignDraft) -> Affected:
    """Return whom a draft would address if it were launched now, at most a minute old."""
    is_mail = draft.kind != CampaignKind.PAGE
    people = _writable(draft) if is_mail else _reachable(draft)
    return Affected(
        people=people,
        arms=tuple(
            AffectedArm(
                name=arm.name,
                percent=arm.percent,
                people=round(people * arm.percent / 100),
                is_silent=is_mail and arm.is_control and not arm.subject,
            )
            for arm in draft.arms
        ),
    )


def _reachable(draft: CampaignDraft) -> int:
    return reachable(segment_id=draft.segment_id, purposes=draft.consent_purposes)


def _writable(draft: CampaignDraft) -> int:
    """Return who has an address and the consents; suppressed addresses and caps come off when it is sent."""
    key = f"writable:{draft.segment_id}:{','.join(sorted(draft.consent_purposes))}"
    known: int | None = cache.get(key)
    if known is None:
        known = audience(segment_id=draft.segment_id, purposes=draft.consent_purposes).count()
        cache.set(key, known, REACH_SECONDS)
    return known
