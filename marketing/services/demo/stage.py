"""What is played in the demo world: segments, and one campaign for each state an experiment can be in. Data.

Effects are set here and nowhere else. Whether an experiment turns out significant, flat or unhealthy is computed like
every other result; no number below was chosen by looking at one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from marketing.services.campaigns import ArmDraft
from marketing.services.demo.world import DAYS, NEWCOMER_DAYS, Effects

CONTROL: Final = "control"
PERSONALIZED: Final = "personalized"
DEFAULT_LIFT: Final = 0.5
"""With 5,000 people about 1,400 of an arm have a closed window: planned power is above 0.99, sequentially too."""
KNOWN_FOR_DAYS: Final = 30  # regular visitors are members for at least so long
BASELINE: Final = 0.2
MDE: Final = 0.35
PEOPLE_PER_DAY: Final = 120


class Season(StrEnum):
    """Campaigns of one season share their people's first visit, hence the exposure."""

    PAST = "past"
    NOW = "now"
    NEW = "new"
    NEVER = "never"


# (first day, day of the end) before now; exposures of the past season stop a window before its end.
SEASON_DAYS: Final[Mapping[Season, tuple[float, float]]] = {
    Season.PAST: (84.0, 56.0),
    Season.NOW: (26.0, 0.0),
    Season.NEW: (9.0, 0.0),
}


class Ending(StrEnum):
    """What the team did with the campaign."""

    DRAFT = "draft"
    RUNNING = "running"
    FINISHED = "finished"
    SHIPPED = "shipped"


@dataclass(frozen=True, slots=True)
class Trial:
    """One campaign with the truth about it."""

    slug: str
    name: str
    segment: str
    season: Season
    ending: Ending
    arms: tuple[ArmDraft, ...]
    effects: Effects = field(default_factory=Effects)
    goal: str = "conversion"
    guardrails: tuple[str, ...] = ()
    loss: float = 0.0
    """Share of the personalized arm's exposures that a faulty page does not log."""


@dataclass(frozen=True, slots=True)
class SegmentPlan:
    """One segment of the demo."""

    slug: str
    name: str
    description: str
    rule: Mapping[str, Any]


TRAITS: Final = (
    # key, name, type, sensitivity, allowed values
    ("first_name", "First name", "text", "personal", ()),
    ("last_name", "Last name", "text", "personal", ()),
    ("loyalty_tier", "Loyalty tier", "text", "normal", ("none", "silver", "gold")),
    ("member_since", "Member since", "date", "normal", ()),
)


def member_since(*, is_newcomer: bool, at: datetime, number: int) -> date:
    """Return a date that agrees with the person's visits."""
    back = NEWCOMER_DAYS + 1 if is_newcomer else DAYS + 10 + (number * 37) % 900
    return (at - timedelta(days=back)).date()


def segment_plans() -> tuple[SegmentPlan, ...]:
    """Return the segments."""
    visited = {"event": "Product Viewed", "op": "gte", "n": 1, "days": DAYS}
    return (
        SegmentPlan(
            "regular-visitors",
            "Regular visitors",
            "Members for a month or longer who looked at something in the last 90 days.",
            _rule({"all": [{"trait": "member_since", "op": "not_within_days", "value": KNOWN_FOR_DAYS}, visited]}),
        ),
        SegmentPlan(
            "new-this-month",
            "New this month",
            "People who joined in the last 30 days.",
            _rule({"all": [{"trait": "member_since", "op": "within_days", "value": KNOWN_FOR_DAYS}, visited]}),
        ),
        SegmentPlan(
            "recent-buyers",
            "Recent buyers",
            "At least one order in the last 30 days.",
            _rule({"all": [{"event": "Order Completed", "op": "gte", "n": 1, "days": 30}]}),
        ),
        SegmentPlan(
            "table-and-kitchen",
            "Table and kitchen fans",
            "Looked at ceramics three times or more in 90 days.",
            _rule(
                {
                    "all": [
                        {
                            "event": "Product Viewed",
                            "op": "gte",
                            "n": 3,
                            "days": DAYS,
                            "where": [{"property": "category", "op": "eq", "value": "Ceramics & table"}],
                        }
                    ]
                }
            ),
        ),
    )


def trials(*, lift: float) -> tuple[Trial, ...]:
    """Return the campaigns; `lift` is the true relative effect of the two that are meant to work."""
    return (
        Trial(
            slug="welcome-back",
            name="Welcome back",
            segment="regular-visitors",
            season=Season.PAST,
            ending=Ending.SHIPPED,
            effects=Effects(conversion=lift, clicks=0.4),
            arms=_arms(
                "Good to see you again",
                "Have a look at what is popular this week.",
                "img/demo/backpacks.svg",
                "content",
            ),
        ),
        Trial(
            slug="bundle-banner",
            name="Bundle banner",
            segment="regular-visitors",
            season=Season.PAST,
            ending=Ending.FINISHED,
            arms=_arms("Better together", "Sets that save a second parcel.", "img/demo/camp-kitchen.svg", "user-knn"),
        ),
        Trial(
            slug="autumn-picks",
            name="Autumn picks",
            segment="regular-visitors",
            season=Season.NOW,
            ending=Ending.RUNNING,
            effects=Effects(conversion=lift, clicks=0.4),
            arms=_arms(
                "Ready for shorter days",
                "Warm layers, steady light and a good flask.",
                "img/demo/lanterns.svg",
                "item-knn",
            ),
        ),
        Trial(
            slug="rain-or-shine",
            name="Rain or shine",
            segment="regular-visitors",
            season=Season.NOW,
            ending=Ending.RUNNING,
            effects=Effects(conversion=0.1, clicks=0.1),
            loss=0.25,
            arms=_arms(
                "Weather is only weather", "Jackets that let you stay out.", "img/demo/rain-jackets.svg", "item-knn"
            ),
        ),
        Trial(
            slug="last-chance",
            name="Last chance countdown",
            segment="regular-visitors",
            season=Season.NOW,
            ending=Ending.RUNNING,
            effects=Effects(conversion=0.15, clicks=0.3, refunds=1.0, unsubscribes=2.0),
            guardrails=("unsubscribe_rate", "refund_rate"),
            arms=_arms("Last chance, picked for you", "Only until tonight.", "img/demo/boots.svg", "user-knn"),
        ),
        Trial(
            slug="first-steps",
            name="First steps",
            segment="new-this-month",
            season=Season.NEW,
            ending=Ending.RUNNING,
            effects=Effects(conversion=0.25, clicks=0.2),
            arms=_arms("Welcome to the shop", "Start with what others kept.", "img/demo/tents.svg", "content"),
        ),
        Trial(
            slug="set-the-table",
            name="Set the table",
            segment="table-and-kitchen",
            season=Season.NEVER,
            ending=Ending.DRAFT,
            arms=_arms("A table for the long evenings", "Thrown by hand.", "img/demo/ceramics.svg", "content"),
        ),
    )


def truth(*, effects: Effects) -> dict[str, Any]:
    """Return what is shown beside the estimates: the true relative effects of the personalized arm."""
    lifts = {
        "conversion": effects.conversion,
        "click_rate": effects.clicks,
        "unsubscribe_rate": effects.unsubscribes,
        "refund_rate": (1.0 + effects.conversion) * (1.0 + effects.refunds) - 1.0,
    }
    if effects.refunds == 0.0:  # otherwise it depends on which refunds have come in already
        lifts["revenue"] = effects.conversion
    return {"schema": 1, "lifts": {metric: {PERSONALIZED: lift} for metric, lift in lifts.items()}}


def _rule(root: Mapping[str, Any]) -> dict[str, Any]:
    return {"schema": 1, "root": root}


def _arms(headline: str, body: str, image: str, strategy: str) -> tuple[ArmDraft, ...]:
    return (
        ArmDraft(
            key=CONTROL,
            name="Popular items",
            percent=50,
            headline=headline,
            body=body,
            button_text="To the shop",
            image=image,
            link="/shop/",
            strategy="popularity",
            is_control=True,
        ),
        ArmDraft(
            key=PERSONALIZED,
            name="Picked for you",
            percent=50,
            headline=f"{headline}: picked for you",
            body=body,
            button_text="To the shop",
            image=image,
            link="/shop/",
            strategy=strategy,
        ),
    )
