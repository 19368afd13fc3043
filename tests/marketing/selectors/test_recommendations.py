"""What the campaign's page says of its recommendations."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse

from marketing.selectors.recommendations import campaign_recommendations
from marketing.services.lifecycle import finish
from recommender.models import ModelVersion, Slate, StrategyHold
from recommender.services.rules import Rules
from recommender.services.serving import recommend
from recommender.services.snapshots import forget_snapshots
from recommender.services.strategies import StrategyDesign, revise_strategy
from tests.factories.campaigns import make_campaign, make_user
from tests.factories.marketing import NOW

pytestmark = pytest.mark.django_db


def _show(key: str, arm: str, people: range, reason: str = "") -> None:
    for person in people:
        made = recommend(
            user_id=str(person), k=2, strategy="popularity", context={"arm": arm}, at=NOW, held_by=key, budget_ms=9_000
        )
        Slate.objects.filter(recommendation_id=made.recommendation_id).update(
            fallback="catalogue" if reason else "", fallback_reason=reason
        )


def test_recommendations__held_versions_and_fallbacks_by_arm__on_the_page() -> None:
    forget_snapshots()
    campaign = make_campaign(slug="spring")
    key = campaign.experiment_key
    revise_strategy(
        slug="popularity", design=StrategyDesign(algorithm="popularity", rules=Rules(damping_percent=9)), at=NOW
    )
    forget_snapshots()
    held = StrategyHold.objects.get(holder=key, strategy__slug="popularity")
    ModelVersion.objects.create(
        strategy=held.strategy,
        strategy_version=held.strategy_version,
        status="published",
        sha256="x",
        path="gone.npz",
        until=0,
        started_at=NOW,
        trained_at=NOW,
        published_at=NOW,
        arms={
            "treated_left_out": True,
            "arms": [
                {
                    "experiment": key,
                    "arm": "control",
                    "is_control": True,
                    "people": 7,
                    "interactions": 70,
                    "left_out": 0,
                    "share": 0.25,
                },
                {"experiment": "other", "arm": "x", "is_control": False},
            ],
        },
    )
    arms = [arm for arm in campaign.arms.all() if arm.strategy]
    _show(key, arms[0].key, range(20))
    _show(key, arms[-1].key, range(100, 110))
    _show(key, arms[-1].key, range(110, 130), "unreadable_model")
    found = campaign_recommendations(campaign=campaign)
    assert found is not None
    row = next(row for row in found.arms if row.slug == "popularity")
    assert (row.version, row.treated_left_out) == (1, True)
    assert [(one.arm, one.people, one.percent) for one in row.learned_from] == [("control", 7, 25.0)]
    if len(arms) > 1:
        assert found.is_uneven
    assert found.reasons == (("The model's file is missing or damaged", 20),)
    client = Client()
    client.force_login(make_user(role="marketer"))
    page = client.get(reverse("marketing:campaign-detail", args=["spring"])).content.decode()
    assert "version 1, kept for this campaign" in page
    assert "without what treated people did" in page
    assert "7 people, 70 interactions, 25.0 % of the data" in page
    finish(campaign_id=campaign.pk, at=NOW + timedelta(days=1))
    assert not StrategyHold.objects.filter(holder=key, until=None).exists()
    after = campaign_recommendations(campaign=campaign)
    assert after is not None
    assert [one.version for one in after.arms] == [one.version for one in found.arms]


def test_recommendations__draft_or_no_strategy__none() -> None:
    assert campaign_recommendations(campaign=make_campaign(status="draft")) is None
