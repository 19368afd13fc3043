"""The page of traits, declaring one, and what a profile's page says of computed ones."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from marketing.choices import TraitOrigin
from marketing.models import Delivery, TraitDefinition
from marketing.services.portrait.definitions import ensure_builtin_traits
from marketing.services.portrait.run import compute_traits
from tests.factories.campaigns import make_campaign, make_user
from tests.factories.marketing import NOW, make_profile, send, track

pytestmark = pytest.mark.django_db
DECLARED = {
    "key": "plan",
    "name": "Plan",
    "type": "text",
    "sensitivity": "normal",
    "conflict": "rank",
    "allowed_values": "gold\nsilver",
}


@pytest.fixture
def signed_in(client: Client) -> Client:
    client.force_login(make_user(role="analyst"))
    return client


def test_trait_list__computed_and_declared__say_how_they_are_made(
    signed_in: Client, django_assert_max_num_queries: Any
) -> None:
    ensure_builtin_traits()
    make_profile(user_id="ann")
    make_profile(user_id="bob")
    send(track("Order Completed", user="ann", at=NOW - timedelta(days=1), revenue=10))
    compute_traits(clock=lambda: NOW)
    with django_assert_max_num_queries(8):
        page = signed_in.get("/profiles/traits/").content.decode()

    assert "how often: Order Completed, last 30 days" in page
    assert "50.0" in page
    assert "from all orders, compared with everybody who ordered" in page


def test_trait_new__good_input__is_declared(signed_in: Client) -> None:
    response = signed_in.post("/profiles/traits/new/", DECLARED, follow=True)
    assert "is declared" in response.content.decode()
    assert TraitDefinition.objects.get(key="plan").allowed_values == ["gold", "silver"]

    formula = {**DECLARED, "key": "twice", "allowed_values": "", "formula": "orders_n * 2"}
    signed_in.post("/profiles/traits/new/", formula)
    twice = TraitDefinition.objects.get(key="twice")
    assert (twice.origin, twice.type) == (TraitOrigin.COMPUTED, "number")


@pytest.mark.parametrize(
    ("change", "message"),
    [({"key": "Big"}, "small letters"), ({"formula": "x +"}, "no expression"), ({"name": ""}, "required")],
)
def test_trait_new__bad_input__says_what_is_wrong(signed_in: Client, change: dict[str, str], message: str) -> None:
    known = TraitDefinition.objects.count()
    response = signed_in.post("/profiles/traits/new/", {**DECLARED, **change})
    assert response.status_code == 422
    assert message in response.content.decode()
    assert TraitDefinition.objects.count() == known


def test_profile_page__messages_of_campaigns__are_listed(signed_in: Client) -> None:
    ann = make_profile(user_id="ann")
    campaign = make_campaign()
    Delivery.objects.create(
        campaign=campaign, profile=ann, arm_key="personal", status="sent", status_at=NOW, send_at=NOW
    )
    page = signed_in.get(f"/profiles/{ann.public_id}/").content.decode()

    assert f'<a href="/campaigns/{campaign.slug}/">{campaign.name}</a>: sent' in page


def test_profile_page__computed_traits__say_where_they_come_from(
    signed_in: Client, django_assert_max_num_queries: Any
) -> None:
    ensure_builtin_traits()
    ann = make_profile(user_id="ann")
    send(track("Order Completed", user="ann", at=NOW - timedelta(days=1), revenue=10))
    compute_traits(clock=lambda: NOW)
    with django_assert_max_num_queries(20):
        page = signed_in.get(f"/profiles/{ann.public_id}/").content.decode()

    assert "RFM group" in page
    assert "lost" in page
    assert "how often: Order Completed, last 365 days" in page
