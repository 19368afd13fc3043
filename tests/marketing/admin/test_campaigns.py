from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from marketing.models import Campaign, ChangeLog
from tests.factories.campaigns import let_one_person_launch, make_campaign

pytestmark = pytest.mark.django_db
LIST = "admin:marketing_campaign_changelist"


def act(client: Client, name: str, *campaigns: Campaign) -> str:
    data = {"action": name, "_selected_action": [campaign.pk for campaign in campaigns]}
    return client.post(reverse(LIST), data, follow=True).content.decode()


@pytest.mark.parametrize(
    "model", ["campaign", "creative", "link", "delivery", "outsidecount", "occurrence", "reviewpolicy"]
)
def test_admin__every_list__is_shown_and_nothing_can_be_added(admin_client: Client, model: str) -> None:
    make_campaign()
    assert admin_client.get(reverse(f"admin:marketing_{model}_changelist")).status_code == 200
    assert admin_client.get(reverse(f"admin:marketing_{model}_add")).status_code == 403


def test_admin__one_campaign__shows_its_arms(admin_client: Client) -> None:
    campaign = make_campaign()
    content = admin_client.get(reverse("admin:marketing_campaign_change", args=[campaign.pk])).content.decode()
    assert "Personal picks" in content


@pytest.mark.parametrize(
    ("status", "name", "target"),
    [
        ("draft", "launch", "running"),
        ("running", "pause", "paused"),
        ("paused", "resume", "running"),
        ("running", "finish", "finished"),
        ("running", "emergency_stop", "finished"),
        ("finished", "archive", "archived"),
    ],
)
def test_admin_action__legal__goes_through_the_service(
    admin_client: Client, status: str, name: str, target: str
) -> None:
    let_one_person_launch()
    campaign = make_campaign(status=status)
    assert "1 campaign changed." in act(admin_client, name, campaign)
    campaign.refresh_from_db()
    assert campaign.status == target
    row = ChangeLog.objects.filter(object_type="campaign", object_id=str(campaign.pk)).order_by("-pk").first()
    assert row is not None
    assert row.transition == name
    assert row.actor is not None


def test_admin_action__one_cannot_move__the_others_do(admin_client: Client) -> None:
    draft, running = make_campaign(status="draft"), make_campaign()
    content = act(admin_client, "pause", draft, running)
    assert "is not possible" in content
    assert "1 campaign changed." in content
    running.refresh_from_db()
    assert running.status == "paused"


def test_admin_action__none_can_move__no_success_is_told(admin_client: Client) -> None:
    assert "changed." not in act(admin_client, "pause", make_campaign(status="draft"))


def test_admin_action__may_only_look__has_no_actions(client: Client) -> None:
    user = User.objects.create_user(username="reader", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_campaign"))
    client.force_login(user)
    campaign = make_campaign()
    act(client, "pause", campaign)
    campaign.refresh_from_db()
    assert campaign.status == "running"
