from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from marketing.models import Consent, Event, Profile
from marketing.views.visitor import CHOICE_COOKIE, DEMO_COOKIE, VISITOR_COOKIE
from tests.factories.campaigns import BROWSER, make_catalogue, make_user, make_visitor
from tests.factories.marketing import make_profile

pytestmark = pytest.mark.django_db
HEADERS = {"User-Agent": BROWSER}
BOTH = {"analytics": "on", "personalization": "on"}


@pytest.fixture
def client() -> Client:
    return Client(headers=HEADERS)


def test_shop__items__are_listed_and_filtered(client: Client) -> None:
    make_catalogue(items=3)
    everything = client.get(reverse("marketing:shop")).content.decode()
    assert everything.count('class="product"') == 3
    assert "12.50 EUR" in everything
    assert 'class="product"' not in client.get(reverse("marketing:shop"), {"category": "Nothing"}).content.decode()


def test_item__person_with_consent__is_a_view(client: Client) -> None:
    make_catalogue()
    client.post(reverse("marketing:consent"), BOTH)
    assert client.get(reverse("marketing:shop-item", args=["item-1"])).status_code == 200
    assert Event.objects.get().item == "item-1"


def test_item__nobody__sees_it_without_a_trace_and_cannot_buy(client: Client) -> None:
    make_catalogue()
    content = client.get(reverse("marketing:shop-item", args=["item-1"])).content.decode()
    assert "Buy (demo)" not in content
    assert not Event.objects.exists()
    assert client.post(reverse("marketing:shop-buy", args=["item-1"])).status_code == 404


def test_item__unknown__is_not_found(client: Client) -> None:
    assert client.get(reverse("marketing:shop-item", args=["nothing"])).status_code == 404


def test_buy__person_with_consent__is_an_order_and_thanked(client: Client) -> None:
    make_catalogue()
    client.post(reverse("marketing:consent"), BOTH)
    response = client.post(reverse("marketing:shop-buy", args=["item-1"]), follow=True)
    assert "Thank you" in response.content.decode()
    assert Event.objects.get(type__name="Order Completed").value == 12_500_000


@pytest.mark.parametrize("name", ["marketing:consent", "marketing:shop-be"])
def test_post_only__get__is_refused(client: Client, name: str) -> None:
    client.force_login(make_user(role="marketer"))
    assert client.get(reverse(name)).status_code == 405


def test_buy__without_csrf_token__is_refused() -> None:
    make_catalogue()
    strict = Client(headers=HEADERS, enforce_csrf_checks=True)
    assert strict.post(reverse("marketing:shop-buy", args=["item-1"])).status_code == 403


def test_consent__allowed__names_the_browser(client: Client) -> None:
    response = client.post(reverse("marketing:consent"), {"analytics": "on"})
    assert response.cookies[VISITOR_COOKIE].value
    assert set(Consent.objects.filter(granted=True).values_list("purpose", flat=True)) == {"analytics"}


def test_consent__refused__remembers_only_that_a_choice_was_made(client: Client) -> None:
    response = client.post(reverse("marketing:consent"), {})
    assert response.cookies[CHOICE_COOKIE].value == "1"
    assert response.cookies[VISITOR_COOKIE].value == ""
    assert not Profile.objects.exists()


def test_consent__withdrawn__takes_one_step_and_the_name_goes(client: Client) -> None:
    client.post(reverse("marketing:consent"), BOTH)
    client.post(reverse("marketing:consent"), {})
    assert client.cookies[VISITOR_COOKIE].value == ""
    assert Consent.objects.filter(granted=False).count() == 2


def test_consent__privacy_signal__outweighs_a_click(client: Client) -> None:
    client.post(reverse("marketing:consent"), BOTH, headers={"Sec-GPC": "1"})
    assert not Profile.objects.exists()


def test_consent__refused_once__can_be_given_later_and_withdrawn_with_one_click(client: Client) -> None:
    shop = reverse("marketing:shop")
    client.post(reverse("marketing:consent"), {})
    refused = client.get(shop).content.decode()
    assert "Your choice" not in refused
    assert "?privacy=1" in refused
    assert "Your choice" in client.get(shop, {"privacy": "1"}).content.decode()
    client.post(reverse("marketing:consent"), BOTH)
    assert "Withdraw my consent" in client.get(shop).content.decode()


@pytest.mark.parametrize(
    ("wanted", "lands"),
    [
        ("/c/spring/", "/c/spring/"),
        ("https://evil.example/", "/shop/"),
        ("//evil.example", "/shop/"),
        ("/\\evil.example", "/shop/"),
        ("javascript:alert(1)", "/shop/"),
        ("", "/shop/"),
    ],
)
def test_consent__next__stays_on_this_host(client: Client, wanted: str, lands: str) -> None:
    assert client.post(reverse("marketing:consent"), {"next": wanted})["Location"] == lands


def test_be__demo_person__plays_and_stops(client: Client) -> None:
    profile, _visitor = make_visitor()
    Profile.objects.update(is_demo=True)
    client.force_login(make_user(role="marketer"))
    client.post(reverse("marketing:shop-be"), {"profile": str(profile.pk), "next": "/shop/"})
    assert client.cookies[DEMO_COOKIE].value.startswith(f"{profile.pk}:")
    playing = client.get(reverse("marketing:shop")).content.decode()
    assert "You are playing" in playing
    assert "Your choice" not in playing
    client.post(reverse("marketing:shop-be"), {})
    assert client.cookies[DEMO_COOKIE].value == ""


def test_be__real_person__is_refused(client: Client) -> None:
    client.force_login(make_user(role="marketer"))
    for wanted in (str(make_profile().pk), "nobody@example.org"):
        assert client.post(reverse("marketing:shop-be"), {"profile": wanted}).status_code == 404


def test_be__without_role_or_sign_in__is_refused(client: Client) -> None:
    assert client.post(reverse("marketing:shop-be"))["Location"].startswith("/accounts/login/")
    client.force_login(make_user(role="nobody"))
    assert client.post(reverse("marketing:shop-be")).status_code == 403
