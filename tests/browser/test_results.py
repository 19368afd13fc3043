"""The result page in a real browser: readable at two widths and by a screen reader, one drawing of each chart."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.test import Client
from playwright.sync_api import BrowserContext, Page, expect
from pytest_django.live_server_helper import LiveServer

from tests.browser.conftest import sign_in
from tests.experiments.reports import make_comparison, make_estimate, make_metric, make_report
from tests.experiments.views.test_results import store
from tests.factories.campaigns import make_user

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
SHOTS = os.environ.get("HOLDOUT_SCREENSHOTS")


@pytest.fixture
def address(context: BrowserContext, live_server: LiveServer, client: Client) -> str:
    """A stored report with two metrics, and an analyst signed in."""
    client.force_login(make_user(role="analyst"))
    sign_in(context, live_server, client)
    comparison = make_comparison(adjusted=make_estimate(variance_saved=0.2), true_lift=0.15)
    metrics = (
        make_metric(comparisons=(comparison,)),
        make_metric(key="revenue", name="Revenue per person", kind="mean", unit="money", role="secondary"),
    )
    return f"/experiments/{store(make_report(metrics=metrics)).key}/"


@pytest.mark.parametrize("width", [1280, 375])
def test_results__any_width__one_drawing_and_no_sideways_scrolling(page: Page, address: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(address)
    expect(page.locator("svg.chart:visible")).to_have_count(2)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    texts = page.locator("svg.chart:visible text").evaluate_all("all => all.map(t => t.getBoundingClientRect().height)")
    assert min(texts) > 9  # pixels: smaller cannot be read
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"results-{width}.png", full_page=True)


def test_results__screen_reader__meets_no_barrier(page: Page, address: str) -> None:
    page.goto(address)
    found = Axe().run(page).response["violations"]
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []


def test_results__keyboard__opens_the_numbers_by_day(page: Page, address: str) -> None:
    page.goto(address)
    summary = page.get_by_text("Numbers by day")
    summary.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("rowheader", name="9 Mar 2026")).to_be_visible()
