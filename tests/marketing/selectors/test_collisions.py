"""What a campaign would run beside, told before its launch, with head counts."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse

from marketing.models import Campaign
from marketing.selectors.campaigns import get_campaign
from marketing.selectors.collisions import campaign_collisions
from tests.factories.campaigns import make_campaign, make_members, make_user
from tests.factories.experiments import make_experiment
from tests.factories.marketing import NOW, make_profile

pytestmark = pytest.mark.django_db


def test_campaign_collisions__draft__counts_who_is_in_both_segments() -> None:
    people = [make_profile() for _ in range(6)]
    gold, silver = make_members(*people[:4]), make_members(*people[2:])
    live = make_campaign(segment_id=silver.pk)
    make_campaign(status="draft", slug="draft", segment_id=gold.pk)
    (one,) = campaign_collisions(campaign=get_campaign(slug="draft"))
    assert (one.key, one.audience_n, one.both_n, one.is_serious) == (live.experiment_key, 2, 2, True)
    Campaign.objects.filter(pk=live.pk).update(ends_at=NOW + timedelta(days=1))
    Campaign.objects.filter(slug="draft").update(starts_at=NOW + timedelta(days=2), ends_at=NOW + timedelta(days=9))
    (one,) = campaign_collisions(campaign=get_campaign(slug="draft"))
    assert (one.place, one.is_serious) == (None, False)


def test_campaign_collisions__everybody__counts_all_whom_the_others_address() -> None:
    for _ in range(3):
        make_profile()
    make_experiment(status="running", key="price")
    make_experiment(status="running", key="of-visitors", unit_type="anonymous")
    make_campaign(status="draft", slug="draft")
    (one,) = campaign_collisions(campaign=get_campaign(slug="draft"))
    assert (one.key, one.audience_n, one.is_serious) == ("price", 3, False)


def test_campaign_collisions__launched__are_those_of_its_experiment() -> None:
    first, second = make_campaign(), make_campaign()
    (one,) = campaign_collisions(campaign=get_campaign(slug=first.slug))
    assert one.key == second.experiment_key


@pytest.mark.parametrize("page", ["campaign-detail", "campaign-transition"])
def test_page__before_the_launch__says_what_runs_beside(client: Client, page: str) -> None:
    make_profile()
    live = make_campaign()
    draft = make_campaign(status="draft", slug="draft")
    client.force_login(make_user(role="marketer"))
    arguments = [draft.slug, "launch"] if page == "campaign-transition" else [draft.slug]
    html = client.get(reverse(f"marketing:{page}", args=arguments)).content.decode()
    assert "Runs beside" in html
    assert reverse("experiments:experiment-detail", args=[live.experiment_key]) in html
    shown = client.get(reverse("marketing:campaign-detail", args=[live.slug])).content.decode()
    assert "Runs beside" not in shown
