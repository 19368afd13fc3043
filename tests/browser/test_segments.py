"""A segment made without a mouse, with the count following along, and pages that a screen reader can read."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from playwright.sync_api import BrowserContext, Page, expect
from pytest_django.live_server_helper import LiveServer

from marketing.models import Segment
from marketing.services.segments import refresh_segment
from tests.browser.conftest import sign_in
from tests.browser.looks import inspect
from tests.browser.test_campaigns import tab_to
from tests.factories.campaigns import make_user
from tests.factories.marketing import give_consent, make_profile, make_segment, send, track

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def shop(context: BrowserContext, live_server: LiveServer, client: Client) -> None:
    """Twelve people, half of whom bought, and a marketer signed in."""
    now = timezone.now()
    for number in range(12):
        make_profile(
            user_id=f"u{number}", at=now, country="DE" if number % 3 else "AT", email=f"person{number}@example.org"
        )
        days = timedelta(days=number)
        messages = [track("Product Viewed", user=f"u{number}", at=now - days, product_id="sku-7")]
        if number % 2:
            messages.append(track("Order Completed", user=f"u{number}", at=now - days, revenue=20 + number))
        send(*messages, at=now)
    client.force_login(make_user(role="marketer"))
    sign_in(context, live_server, client)


def choose(page: Page, text: str) -> None:
    """Pick an option of the focused list by typing its first letters."""
    page.keyboard.type(text)


def test_segment__keyboard_only__is_built_counted_and_saved(page: Page, shop: None) -> None:
    page.goto("/segments/")
    expect(page.get_by_role("heading", name="No segments yet")).to_be_visible()
    tab_to(page, "a.button--primary")
    page.keyboard.press("Enter")
    count = page.locator("#count")
    expect(count).to_contain_text("100.0 % of 12")
    tab_to(page, "[name=name]")
    page.keyboard.type("Recent buyers")
    tab_to(page, "select[name^=new_]")
    choose(page, "Order Completed")
    tab_to(page, "button[value^='add:']")
    page.keyboard.press("Enter")
    expect(page.locator("select[name=row_negated]")).to_be_focused()
    expect(count).to_contain_text("50.0 % of 12")
    tab_to(page, "[name=row_days]")
    page.keyboard.type("6")
    expect(count).to_contain_text("25.0 % of 12")
    expect(count).to_contain_text("did Order Completed at least 1 time in the last 6 days")
    tab_to(page, "select[name^=new_]")
    choose(page, "country")
    tab_to(page, "button[value^='add:']")
    page.keyboard.press("Enter")
    expect(page.locator("select[name=row_negated]").nth(1)).to_be_focused()
    expect(count).to_contain_text("Fill in the conditions")
    tab_to(page, "input[name=row_value]:not([type=hidden])")
    page.keyboard.type("DE")
    expect(count).to_contain_text("16.7 % of 12")
    tab_to(page, "button[type=submit].button--primary")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Recent buyers")
    expect(page.locator("main")).to_contain_text("2 members")
    assert Segment.objects.get().members_n == 2


def test_segment_builder__groups_and_removal__keep_what_was_typed(page: Page, shop: None) -> None:
    page.goto("/segments/new/")
    page.get_by_role("button", name="Add a group").click()
    expect(page.locator("fieldset.group legend")).to_have_text(["Group 1", "Group 2"])
    first, second = page.locator("fieldset.group").all()
    first.locator("select[name^=new_]").select_option("trait:country")
    first.get_by_role("button", name="Add", exact=True).click()
    page.locator("input[name=row_value]:visible").fill("AT")
    second.locator("select[name^=new_]").select_option("event:Order Completed")
    second.get_by_role("button", name="Add", exact=True).click()
    page.locator("#match").select_option("any")
    expect(page.locator("#count")).to_contain_text("66.7 % of 12")
    page.get_by_role("button", name="Remove country").click()
    expect(page.locator("select[name=row_negated]")).to_have_count(1)
    page.get_by_role("button", name="Remove group 1").click()
    expect(page.locator("#count")).to_contain_text("50.0 % of 12")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages__read_by_axe__have_no_violation(page: Page, shop: None, scheme: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    buyers = {"event": "Order Completed", "op": "gte", "n": 1, "days": 90}
    segment = make_segment({"all": [buyers, {"not": {"trait": "country", "op": "eq", "value": "AT"}}]}, slug="buyers")
    refresh_segment(segment_id=segment.pk, at=timezone.now())
    profile = make_profile(user_id="x1", country="DE", language="de", email="ann@example.org")
    give_consent(profile)
    send(track("Order Completed", user="x1", at=timezone.now(), revenue=12), at=timezone.now())
    paths = {
        "segments": "/segments/",
        "segment": "/segments/buyers/",
        "segment-form": "/segments/buyers/edit/",
        "segment-why": f"/segments/buyers/why/{profile.public_id}/",
        "segment-archive": "/segments/buyers/archive/",
        "profiles": "/profiles/",
        "profile": f"/profiles/{profile.public_id}/",
    }
    for name, path in paths.items():
        inspect(page, name, path, scheme)
