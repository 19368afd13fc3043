"""Campaigns in legal states, people who may be addressed by them, and something to recommend."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Group, User

from experiments.services.metrics import ensure_builtin_metrics
from marketing.choices import IdentityKind, Purpose
from marketing.models import Campaign, Membership, Profile, Segment
from marketing.services import lifecycle
from marketing.services.audience import Visitor
from marketing.services.campaigns import ArmDraft, CampaignDraft, create_campaign
from marketing.services.profiles import create_profile
from marketing.services.reviews import switch_review
from marketing.services.setup import prepare
from recommender.services.catalogue import ItemRow, upsert_items
from recommender.services.snapshots import forget_snapshots
from recommender.services.strategies import ensure_default_strategies
from tests.factories.marketing import NOW, give_consent

STARTED = NOW - timedelta(days=10)
BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/130 Safari/537.36"
_numbers = itertools.count(1)

CONTROL = ArmDraft(
    key="control",
    name="Usual page",
    percent=50,
    headline="New in the shop",
    button_text="Look around",
    link="/shop/",
    strategy="popularity",
    is_control=True,
)
PERSONAL = ArmDraft(key="personal", name="Personal picks", percent=50, headline="Picked for you", strategy="user-knn")


def make_catalogue(*, items: int = 8) -> None:
    """Items `item-0`, `item-1`, … and the strategies that come with the product."""
    rows = [
        ItemRow(item_id=f"item-{number}", title=f"Thing {number}", category="Things", price=12_500_000, currency="EUR")
        for number in range(items)
    ]
    upsert_items(items=rows, at=STARTED)
    ensure_default_strategies(at=STARTED)
    forget_snapshots()


def make_draft(**overrides: Any) -> CampaignDraft:
    """A draft that passes the launch checklist, for everybody with consent."""
    number = next(_numbers)
    fields: dict[str, Any] = {
        "slug": f"campaign-{number}",
        "name": f"Campaign {number}",
        "goal_metric": "conversion",
        "arms": (CONTROL, PERSONAL),
        "mde": 0.3,
        "people_per_day": 1_000,
    }
    return CampaignDraft(**{**fields, **overrides})


def make_campaign(*, status: str = "running", actor: User | None = None, **overrides: Any) -> Campaign:
    """A campaign that came to its state through the services; `actor` wrote it and asked for the review."""
    ensure_builtin_metrics()
    make_catalogue()
    campaign = create_campaign(draft=make_draft(**overrides), at=STARTED, actor=actor)
    way = {
        "draft": (),
        "in_review": ("submit",),
        "running": ("launch",),
        "paused": ("launch", "pause"),
        "finished": ("launch", "finish"),
        "archived": ("archive",),
    }
    for name in way[status]:
        campaign = lifecycle.ACTIONS[name](campaign_id=campaign.pk, at=STARTED, actor=actor)
    return campaign


def make_visitor(
    *, purposes: tuple[Purpose, ...] = (Purpose.ANALYTICS, Purpose.PERSONALIZATION)
) -> tuple[Profile, Visitor]:
    """A person with these consents, and what the browser of that person says."""
    anonymous_id = f"visitor-{next(_numbers)}"
    profile = create_profile(identities=[(IdentityKind.ANONYMOUS, anonymous_id)], traits={}, at=STARTED)
    for purpose in purposes:
        give_consent(profile, purpose, at=STARTED)
    return profile, Visitor(anonymous_id=anonymous_id)


def make_members(*profiles: Profile) -> Segment:
    """A segment with exactly these members."""
    slug = f"members-{next(_numbers)}"
    segment = Segment.objects.create(slug=slug, name=slug, members_n=len(profiles), created_at=STARTED)
    Membership.objects.bulk_create(
        [Membership(segment=segment, profile=profile, entered_at=STARTED) for profile in profiles]
    )
    return segment


def let_one_person_launch() -> None:
    """Switch the review by a second person off, as a team of one does."""
    switch_review(is_on=False, reason="There is one of us.", at=STARTED)


def make_user(*, role: str = "marketer", is_staff: bool = False) -> User:
    """Somebody who signs in to the back office with one role."""
    prepare(at=NOW)
    user = User.objects.create_user(username=f"{role}-{next(_numbers)}", is_staff=is_staff)
    if role != "nobody":
        user.groups.add(Group.objects.get(name=role))
    return user
