from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, expect
from pytest_django.live_server_helper import LiveServer

from experiments.selectors import exposed_counts
from experiments.services.metrics import ensure_builtin_metrics
from marketing.models import Campaign, Event, Profile
from tests.browser.conftest import sign_in
from tests.factories.campaigns import (
    BROWSER,
    let_one_person_launch,
    make_campaign,
    make_catalogue,
    make_user,
    make_visitor,
)

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
MOST_TABS = 80


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until the element has the focus, as somebody without a mouse does."""
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} cannot be reached by keyboard")


@pytest.fixture
def marketer(context: BrowserContext, live_server: LiveServer, client: Client) -> None:
    let_one_person_launch()
    client.force_login(make_user(role="marketer"))
    sign_in(context, live_server, client)


def test_campaign_form__keyboard_only__from_draft_to_launch(page: Page, marketer: None) -> None:
    ensure_builtin_metrics()
    make_catalogue()
    page.goto("/campaigns/new/")
    expect(page.locator("#panel")).to_contain_text("Ready to launch?")
    tab_to(page, "[name=name]")
    page.keyboard.type("Keyboard picks")
    tab_to(page, "[name=arms-1-headline]")
    page.keyboard.press("Control+A")
    page.keyboard.type("Only for you")
    expect(page.locator("#panel")).to_contain_text("Only for you")
    expect(page.locator("#panel .is-blocked")).to_have_count(0)
    tab_to(page, "[name=launch]")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Launch: Keyboard picks")
    tab_to(page, "main form button[type=submit]")
    page.keyboard.press("Enter")
    expect(page.locator(".badge--running").first).to_be_visible()
    assert Campaign.objects.get(slug="keyboard-picks").status == "running"


def test_campaign_form__arms_added_and_removed__focus_and_panel_follow(page: Page, marketer: None) -> None:
    ensure_builtin_metrics()
    make_catalogue()
    page.goto("/campaigns/new/")
    page.get_by_role("button", name="Add an arm").click()
    assert page.evaluate("document.activeElement.name") == "arms-2-name"
    page.keyboard.type("Loud")
    page.get_by_role("button", name="Split equally").click()
    values = [page.locator(f"[name=arms-{number}-percent]").input_value() for number in range(3)]
    assert values == ["34", "33", "33"]
    expect(page.locator("#panel")).to_contain_text("No headline yet: Loud.")
    page.get_by_role("button", name="Remove this arm").last.click()
    assert page.evaluate("document.activeElement.name") == "arms-1-name"
    expect(page.locator("#panel")).not_to_contain_text("Loud")
    expect(page.locator("#panel")).to_contain_text("The shares add up to 67 %")


def test_campaign_page__person_with_consent__is_exposed_clicks_and_buys(page: Page) -> None:
    campaign = make_campaign()
    page.goto(f"/c/{campaign.slug}/")
    expect(page.locator("#slot h2").first).to_have_text("New in the shop")
    assert sum(exposed_counts(experiment_key=campaign.experiment_key).values()) == 0
    page.get_by_role("button", name="Allow both").click()
    expect(page.locator("#slot .product")).to_have_count(4)
    assert sum(exposed_counts(experiment_key=campaign.experiment_key).values()) == 1
    page.locator("#slot .product").first.click()
    page.get_by_role("button", name="Buy (demo)").click()
    expect(page.get_by_text("Thank you!")).to_be_visible()
    names = set(Event.objects.values_list("type__name", flat=True))
    assert names == {"Recommendation Clicked", "Product Viewed", "Order Completed"}


def test_campaign_page__slot_out_of_view__nobody_is_exposed_until_it_is_seen(page: Page) -> None:
    campaign = make_campaign()
    page.goto("/shop/")
    page.get_by_role("button", name="Allow both").click()
    # A window of one pixel: the header fills it, and the slot lies below.
    page.set_viewport_size({"width": 800, "height": 1})
    page.goto(f"/c/{campaign.slug}/")
    page.wait_for_load_state("networkidle")
    assert sum(exposed_counts(experiment_key=campaign.experiment_key).values()) == 0
    page.set_viewport_size({"width": 800, "height": 900})
    expect(page.locator("#slot .product")).to_have_count(4)
    assert sum(exposed_counts(experiment_key=campaign.experiment_key).values()) == 1


def test_see_it_as_somebody_else__demo_person__sees_that_arm(page: Page, marketer: None) -> None:
    make_visitor()
    Profile.objects.update(is_demo=True)
    campaign = make_campaign(is_demo=True)
    page.goto(f"/campaigns/{campaign.slug}/")
    seat = page.locator("li", has=page.get_by_role("button", name="Be")).first
    headline = "Picked for you" if "Personal picks" in seat.inner_text() else "New in the shop"
    seat.get_by_role("button").click()
    expect(page.locator("#slot h2").first).to_have_text(headline)
    page.get_by_role("button", name="Stop playing").click()
    expect(page.get_by_role("button", name="Allow both")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages__axe__finds_nothing(browser: Browser, live_server: LiveServer, client: Client, scheme: str) -> None:
    campaign = make_campaign()
    client.force_login(make_user(role="marketer"))
    context = browser.new_context(base_url=live_server.url, user_agent=BROWSER, color_scheme=scheme)  # type: ignore[arg-type]  # the parameter of the test is a plain text
    sign_in(context, live_server, client)
    page = context.new_page()
    for address in (
        "/",
        "/campaigns/",
        "/campaigns/new/",
        f"/campaigns/{campaign.slug}/",
        f"/campaigns/{campaign.slug}/do/finish/",
        f"/campaigns/{campaign.slug}/preview/personal/",
        f"/c/{campaign.slug}/",
        "/shop/",
        "/shop/item-1/",
    ):
        page.goto(address)
        page.wait_for_load_state("networkidle")
        found = Axe().run(page).response["violations"]
        assert [(rule["id"], rule["nodes"][0]["target"]) for rule in found] == [], address
    context.close()


def test_pages__phone__nothing_is_wider_than_the_screen(page: Page, marketer: None) -> None:
    campaign = make_campaign(name="A campaign with quite a long name for a telephone")
    page.set_viewport_size({"width": 375, "height": 812})
    for address in (
        "/",
        "/campaigns/",
        "/campaigns/new/",
        f"/campaigns/{campaign.slug}/",
        f"/c/{campaign.slug}/",
        "/shop/",
        "/shop/item-1/",
    ):
        page.goto(address)
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= 375, address
