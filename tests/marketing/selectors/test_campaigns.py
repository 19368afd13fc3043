from __future__ import annotations

import pytest
from pytest_django import DjangoAssertNumQueries

from marketing.errors import UnknownCampaign
from marketing.models import Campaign
from marketing.selectors import campaigns
from marketing.selectors.campaigns import activity, get_campaign, list_campaigns, page_config
from tests.factories.campaigns import make_campaign

pytestmark = pytest.mark.django_db


def test_page_config__fresh__costs_no_query(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    slug = make_campaign().slug
    first = page_config(slug=slug)
    with django_assert_num_queries(0):
        assert page_config(slug=slug) is first


def test_page_config__older_than_two_seconds__is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    campaign = make_campaign()
    now = 1_000.0
    monkeypatch.setattr("marketing.selectors.campaigns.time.monotonic", lambda: now)
    assert page_config(slug=campaign.slug).is_running
    Campaign.objects.filter(pk=campaign.pk).update(status="paused")
    assert page_config(slug=campaign.slug).is_running
    now += campaigns.CONFIG_SECONDS
    assert not page_config(slug=campaign.slug).is_running


def test_page_config__many_campaigns__memory_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaigns, "MOST_CONFIGS", 2)
    slugs = [make_campaign().slug for _ in range(3)]
    for slug in slugs:
        page_config(slug=slug)
    assert len(campaigns._configs) <= 2


def test_page_config__unknown__is_refused_and_not_kept() -> None:
    with pytest.raises(UnknownCampaign):
        page_config(slug="nowhere")
    assert "nowhere" not in campaigns._configs


def test_default_arm__no_control__is_the_first() -> None:
    campaign = make_campaign(status="draft")
    campaign.arms.update(is_control=False)
    assert page_config(slug=campaign.slug).default_arm.key == "control"
    assert page_config(slug=campaign.slug).arm("nothing") is None


def test_list_campaigns__newest_first__and_by_state() -> None:
    first, second = make_campaign(), make_campaign(status="draft")
    assert [row.pk for row in list_campaigns()] == [second.pk, first.pk]
    assert [row.pk for row in list_campaigns(status="draft")] == [second.pk]


def test_activity__newest_first__names_the_transitions() -> None:
    campaign = make_campaign(status="finished")
    assert [row.transition for row in activity(campaign=campaign)] == ["finish", "launch", "create"]


def test_get_campaign__unknown__is_refused() -> None:
    with pytest.raises(UnknownCampaign):
        get_campaign(slug="nowhere")
