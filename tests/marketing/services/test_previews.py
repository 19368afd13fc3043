from __future__ import annotations

from dataclasses import replace

import pytest

from experiments.selectors import exposed_counts
from marketing.models import Profile
from marketing.selectors.campaigns import page_config
from marketing.services.audience import Visitor
from marketing.services.experience import preview, serve
from marketing.services.previews import preview_draft, seats
from recommender.models import Slate
from tests.factories.campaigns import make_campaign, make_catalogue, make_draft, make_visitor
from tests.factories.marketing import NOW

pytestmark = pytest.mark.django_db


def test_preview_draft__arms_with_strategies__show_a_strangers_items_and_store_nothing() -> None:
    make_catalogue()
    previews = preview_draft(draft=make_draft(), at=NOW)
    assert [one.arm.headline for one in previews] == ["New in the shop", "Picked for you"]
    assert [len(one.items) for one in previews] == [4, 4]
    assert not Slate.objects.exists()


def test_preview__one_person__records_nothing() -> None:
    campaign = make_campaign()
    config = page_config(slug=campaign.slug)
    profile, _visitor = make_visitor()
    arm = config.arm("personal")
    assert arm is not None
    shown = preview(arm=arm, campaign=config, profile_id=profile.pk, at=NOW)
    assert shown.recommendation is not None
    assert shown.recommendation.user_id == str(profile.pk)
    assert not Slate.objects.exists()
    assert sum(exposed_counts(experiment_key=campaign.experiment_key).values()) == 0


def test_seats__demo_people__are_told_the_arm_that_the_page_will_show() -> None:
    for _ in range(3):
        make_visitor()
    Profile.objects.update(is_demo=True)
    make_visitor()
    campaign = make_campaign(is_demo=True)
    taken = seats(campaign=page_config(slug=campaign.slug), at=NOW)
    assert len(taken) == 3
    for seat in taken:
        visitor = Visitor(demo_profile_id=seat.person.profile_id)
        assert serve(slug=campaign.slug, visitor=visitor, at=NOW).arm == seat.arm


def test_seats__not_running__are_none() -> None:
    campaign = make_campaign(status="paused", is_demo=True)
    assert seats(campaign=page_config(slug=campaign.slug), at=NOW) == []


def test_seats__experiment_gone__nobody_can_be_told_an_arm() -> None:
    make_visitor()
    Profile.objects.update(is_demo=True)
    campaign = make_campaign(is_demo=True)
    config = replace(page_config(slug=campaign.slug), experiment_key="gone")
    assert seats(campaign=config, at=NOW) == []
