from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from marketing.models import ChangeLog
from marketing.selectors.reviews import is_review_required
from tests.factories.campaigns import let_one_person_launch, make_campaign, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann() -> User:
    return make_user()


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_campaign_review__second_person__sees_it_approves_and_it_is_scheduled(ann: User) -> None:
    campaign = make_campaign(status="in_review", actor=ann, slug="spring")
    bob = signed_in(make_user(role="approver"))
    content = bob.get(reverse("marketing:campaign-review", args=["spring"])).content.decode()
    for words in ("What will be new", "Picked for you", "asked for it", "How many people", "Send back", ">Approve<"):
        assert words in content
    answer = bob.post(reverse("marketing:campaign-transition", args=["spring", "approve"]), follow=True)
    assert "Done: Approve" in answer.content.decode()
    campaign.refresh_from_db()
    assert campaign.status == "scheduled"


def test_campaign_review__who_asked__is_told_why_not_and_may_withdraw(ann: User) -> None:
    make_campaign(status="in_review", actor=ann, slug="spring")
    client = signed_in(ann)
    content = client.get(reverse("marketing:campaign-review", args=["spring"])).content.decode()
    assert "a second person must approve it" in content
    assert ">Approve<" not in content
    refused = client.post(reverse("marketing:campaign-transition", args=["spring", "approve"]))
    assert refused.status_code == 409
    client.post(reverse("marketing:campaign-transition", args=["spring", "withdraw"]))
    content = client.get(reverse("marketing:campaign-detail", args=["spring"])).content.decode()
    assert "Ask for a review" in content
    assert "do/launch" not in content


def test_campaign_review__send_back__asks_for_a_word(ann: User) -> None:
    make_campaign(status="in_review", actor=ann, slug="spring")
    bob = signed_in(make_user(role="approver"))
    address = reverse("marketing:campaign-transition", args=["spring", "send_back"])
    assert "required" in bob.get(address).content.decode()
    assert bob.post(address).status_code == 409
    assert "Done: Send back" in bob.post(address, {"message": "too loud"}, follow=True).content.decode()


def test_campaign_review__queries__stay_bounded(
    ann: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    make_campaign(status="in_review", actor=ann, slug="spring")
    bob = signed_in(make_user(role="approver"))
    with django_assert_max_num_queries(40):
        bob.get(reverse("marketing:campaign-review", args=["spring"]))


def test_campaign_review__unknown_or_written_to__is_refused(ann: User) -> None:
    client = signed_in(ann)
    assert client.get(reverse("marketing:campaign-review", args=["nothing"])).status_code == 404
    assert client.post(reverse("marketing:campaign-review", args=["nothing"])).status_code == 405


def test_campaign_change__row_of_the_log__shows_differences_and_the_snapshot(ann: User) -> None:
    campaign = make_campaign(status="in_review", actor=ann, slug="spring")
    client = signed_in(ann)
    row = ChangeLog.objects.get(object_id=str(campaign.pk), transition="submit")
    assert f"/changes/{row.pk}/" in client.get(campaign.get_absolute_url()).content.decode()
    content = client.get(reverse("marketing:campaign-change", args=["spring", row.pk])).content.decode()
    assert "in review" in content
    assert "&quot;goal_metric&quot;: &quot;conversion&quot;" in content
    make_campaign(status="draft", slug="other")
    assert client.get(reverse("marketing:campaign-change", args=["other", row.pk])).status_code == 404


def test_review_policy__operator__switches_it_with_a_reason() -> None:
    client = signed_in(make_user(role="operator"))
    address = reverse("marketing:review-policy")
    assert "It is on" in client.get(address).content.decode()
    refused = client.post(address, {"is_on": "0", "reason": ""})
    assert refused.status_code == 422
    assert "say why" in refused.content.decode()
    content = client.post(address, {"is_on": "0", "reason": "There is one of us."}, follow=True).content.decode()
    assert "It is off" in content
    assert "Switched off" in content
    assert not is_review_required()


def test_review_policy__marketer__sees_it_and_cannot_switch_it(ann: User) -> None:
    client = signed_in(ann)
    content = client.get(reverse("marketing:review-policy")).content.decode()
    assert "It is on" in content
    assert "<select" not in content.split("page-head")[1]
    assert client.post(reverse("marketing:review-policy"), {"is_on": "0", "reason": "x"}).status_code == 403
    assert is_review_required()


def test_campaign_detail__review_switched_off__says_so(ann: User) -> None:
    let_one_person_launch()
    campaign = make_campaign(status="draft")
    content = signed_in(ann).get(campaign.get_absolute_url()).content.decode()
    assert "The review by a second person is switched off" in content
