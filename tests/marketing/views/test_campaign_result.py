from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse

from experiments.models import Experiment
from experiments.services.refresh import record_failure, refresh_experiment
from marketing.models import Campaign
from marketing.services.experience import serve
from marketing.services.tracking import read_token, record_click, record_order, shown_items
from tests.factories.campaigns import STARTED, make_campaign, make_user, make_visitor
from tests.factories.marketing import NOW

pytestmark = pytest.mark.django_db
PEOPLE = 40


@pytest.fixture
def campaign() -> Campaign:
    """A campaign that 40 people saw eight days ago; one in two clicked, one in four ordered."""
    campaign = make_campaign()
    seen_at = STARTED + timedelta(days=1)
    for number in range(PEOPLE):
        _profile, visitor = make_visitor()
        shown = serve(slug=campaign.slug, visitor=visitor, at=seen_at)
        if number % 2 == 0:
            click = read_token(token=shown_items(experience=shown)[0].token)
            record_click(click=click, visitor=visitor, at=seen_at + timedelta(minutes=1))
        if number % 4 == 0:
            record_order(item_id="item-1", visitor=visitor, at=seen_at + timedelta(hours=1))
    refresh_experiment(experiment_id=Experiment.objects.get(key=campaign.experiment_key).pk, at=NOW)
    return campaign


def test_campaign_pages__after_a_refresh__show_verdict_and_funnel(client: Client, campaign: Campaign) -> None:
    client.force_login(make_user())
    detail = client.get(reverse("marketing:campaign-detail", args=[campaign.slug])).content.decode()
    assert "verdict__headline" in detail
    assert "Caused by the campaign" in detail
    assert "As of Nov. 24, 2026, noon" in detail
    assert "not enough data yet" in detail
    rows = client.get(reverse("marketing:campaign-result", args=[campaign.slug])).context["funnel"]
    assert sum(row.exposed for row in rows) == PEOPLE
    assert sum(row.clicked.people for row in rows) == PEOPLE / 2
    assert sum(row.ordered.people for row in rows) == PEOPLE / 4
    for name in ("home", "campaign-list"):
        content = client.get(reverse(f"marketing:{name}")).content.decode()
        assert str(PEOPLE) in content
        assert "No result yet" not in content


def test_campaign_result__failed_refresh__says_that_it_is_old(client: Client, campaign: Campaign) -> None:
    client.force_login(make_user())
    experiment = Experiment.objects.get(key=campaign.experiment_key)
    record_failure(experiment_id=experiment.pk, at=NOW + timedelta(days=1), error=OSError("the disk is full"))
    content = client.get(reverse("marketing:campaign-result", args=[campaign.slug])).content.decode()
    assert "What you see is the last good result." in content
    assert "verdict__headline" in content
