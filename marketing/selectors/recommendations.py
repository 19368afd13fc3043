"""What stood behind the recommendations of a campaign: versions, models, what they learned from, and fallbacks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from marketing.models import Campaign
from marketing.selectors.campaigns import arms_of
from recommender.reports import FallbackRate
from recommender.selectors import fallback_rates, fallback_reasons, held_versions


@dataclass(frozen=True, slots=True)
class LearnedFrom:
    """One arm of this campaign's experiment in the training data of a model."""

    arm: str
    is_control: bool
    people: int
    interactions: int
    left_out: int
    percent: float


@dataclass(frozen=True, slots=True)
class ArmRecommendations:
    """One arm that shows recommendations."""

    name: str
    is_control: bool
    strategy: str
    slug: str
    version: int | None
    """None where nothing is held (any more): the current version."""
    trained_at: datetime | None
    treated_left_out: bool
    learned_from: tuple[LearnedFrom, ...]
    fallback: FallbackRate | None


@dataclass(frozen=True, slots=True)
class CampaignRecommendations:
    """All arms that show recommendations, and whether fallbacks stood in equally often."""

    arms: tuple[ArmRecommendations, ...]
    reasons: tuple[tuple[str, int], ...]
    is_uneven: bool


def campaign_recommendations(*, campaign: Campaign) -> CampaignRecommendations | None:
    """Return what the result page says of the recommendations; None where no arm has any."""
    arms = [arm for arm in arms_of(campaign=campaign) if arm.strategy]
    if not arms or not campaign.experiment_key:
        return None
    held = held_versions(holder=campaign.experiment_key)
    rates = {rate.label: rate for rate in fallback_rates(by="arm", held_by=campaign.experiment_key)}
    rows = []
    for arm in arms:
        kept = held.get(arm.strategy)
        model = kept.model if kept else None
        rows.append(
            ArmRecommendations(
                name=arm.name,
                is_control=arm.is_control,
                strategy=kept.strategy.name if kept else arm.strategy,
                slug=arm.strategy,
                version=kept.version.number if kept else None,
                trained_at=model.trained_at if model else None,
                treated_left_out=bool(model and model.arms.get("treated_left_out")),
                learned_from=_learned_from(model.arms, campaign.experiment_key) if model else (),
                fallback=rates.get(arm.key),
            )
        )
    known = [row.fallback for row in rows if row.fallback is not None]
    return CampaignRecommendations(
        arms=tuple(rows),
        reasons=tuple(fallback_reasons(held_by=campaign.experiment_key)) if any(r.fallbacks for r in known) else (),
        is_uneven=any(one.differs_from(known[0]) for one in known[1:]),
    )


def _learned_from(arms: dict[str, Any], experiment: str) -> tuple[LearnedFrom, ...]:
    return tuple(
        LearnedFrom(
            arm=row["arm"],
            is_control=row["is_control"],
            people=row["people"],
            interactions=row["interactions"],
            left_out=row["left_out"],
            percent=100 * row["share"],
        )
        for row in arms.get("arms", ())
        if row["experiment"] == experiment
    )
