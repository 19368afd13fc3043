"""What every page must look like: nothing that axe finds, and nothing wider than a telephone."""

from __future__ import annotations

import os
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

SHOTS = os.environ.get("HOLDOUT_SCREENSHOTS")


def inspect(page: Page, name: str, path: str, scheme: str) -> None:
    """Open a page, let axe read it, and see that it need not be scrolled sideways; keep pictures where one asks."""
    page.goto(path)
    page.wait_for_load_state("networkidle")
    found = Axe().run(page)
    assert [(one["id"], one["nodes"][0]["html"]) for one in found.response["violations"]] == [], path
    for width in (1280, 375):
        page.set_viewport_size({"width": width, "height": 900})
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if SHOTS:
            page.screenshot(path=Path(SHOTS) / f"{name}-{scheme}-{width}.png", full_page=True)
        assert overflow <= 0, f"{path} scrolls sideways at {width}"
    page.set_viewport_size({"width": 1280, "height": 900})
