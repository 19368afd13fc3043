from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from tests.factories.campaigns import make_campaign, make_user

pytestmark = pytest.mark.django_db


def test_home__nothing_runs__invites_to_make_a_campaign(client: Client) -> None:
    client.force_login(make_user())
    assert "Nothing runs" in client.get(reverse("marketing:home")).content.decode()


def test_home__running_and_paused__are_shown_and_the_pause_waits(client: Client) -> None:
    make_campaign(name="Runs")
    make_campaign(status="paused", name="Rests")
    client.force_login(make_user())
    content = client.get(reverse("marketing:home")).content.decode()
    assert "Runs" in content
    assert "“Rests” is paused: nobody new enters." in content


def test_home__no_role__says_what_to_do(client: Client) -> None:
    client.force_login(make_user(role="nobody"))
    assert "Ask for a role" in client.get(reverse("marketing:home")).content.decode()


def test_home__not_signed_in__asks_to_sign_in(client: Client) -> None:
    assert client.get(reverse("marketing:home"))["Location"] == "/accounts/login/?next=/"
    assert "Sign in" in client.get("/accounts/login/").content.decode()


def test_home__campaigns_in_review__wait_for_whoever_did_not_ask(
    client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    author, reviewer, reader = make_user(), make_user(), make_user(role="analyst")
    for number in range(3):
        make_campaign(status="in_review", actor=author, name=f"Spring {number}")
    line = "“Spring 1” waits for your review."
    for user, n in ((author, 0), (reviewer, 1), (reader, 0)):
        client.force_login(user)
        with django_assert_max_num_queries(14):
            content = client.get(reverse("marketing:home")).content.decode()
        assert (line in content) is bool(n)
