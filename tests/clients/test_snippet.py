"""The snippet in Chromium, on a page of another origin with a strict content security policy."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.clients.conftest import PERSON, Server
from tests.endtoend.stack import ROOT, until

pytestmark = [pytest.mark.worker, pytest.mark.browser]
SNIPPET = ROOT / "static" / "js" / "holdout-client.js"
EXAMPLE = re.findall(r"```html\n(.*?)```", (ROOT / "docs" / "clients.md").read_text(), flags=re.DOTALL)[-1]
BELOW = '<p class="tall"></p>'
STYLE = ".tall { height: 4000px }"


@contextmanager
def shop(server: Server, body: str) -> Iterator[str]:
    """A shop at an origin of its own that allows nothing but our host."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_style = self.path == "/style.css"
            text = STYLE if is_style else f'<!doctype html><link rel="stylesheet" href="/style.css">{body}'
            self.send_response(200)
            self.send_header("Content-Type", "text/css" if is_style else "text/html; charset=utf-8")
            policy = f"default-src 'none'; style-src 'self'; script-src {server.url}; connect-src {server.url}"
            self.send_header("Content-Security-Policy", policy)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=web.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{web.server_port}/"
    finally:
        web.shutdown()
        web.server_close()


def filled(server: Server, body: str) -> str:
    return body.replace("https://holdout.example", server.url).replace("hk_client_key", server.key)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(user_agent=PERSON)
    fresh = context.new_page()
    errors: list[str] = []
    fresh.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    yield fresh
    assert [text for text in errors if "favicon" not in text] == []
    context.close()


def variant(page: Page) -> str:
    """The arm that the server chose for this visitor."""
    return str(page.evaluate("holdout.arm('buy-button-visitors').then((flag) => flag.variant)"))


def seen(server: Server) -> int:
    return len([one for one in server.exposures() if one[0] == "buy-button-visitors"])


def test_snippet__size__is_at_most_3_kb() -> None:
    assert len(SNIPPET.read_bytes()) <= 3 * 1024


def test_snippet__as_documented__shows_the_arm_and_tells_once_it_is_in_view(server: Server, page: Page) -> None:
    before = seen(server)
    with shop(server, BELOW + filled(server, EXAMPLE)) as address:
        page.goto(address)
        arm = variant(page)
        expect(page.locator(f"[data-arm={arm}]")).not_to_have_attribute("hidden", "")
        other = {"control": "treatment", "treatment": "control"}[arm]
        expect(page.locator(f"[data-arm={other}]")).to_have_attribute("hidden", "")
        assert seen(server) == before
        page.locator("[data-holdout]").scroll_into_view_if_needed()
        until(lambda: seen(server) == before + 1, what="exposure")
        assert page.evaluate("holdout.track('Order Completed', { order_id: 'S-1', revenue: 5, currency: 'EUR' })")
        until(lambda: ("Order Completed", "S-1") in server.events(), what="order")
        page.reload()
        assert variant(page) == arm
        page.locator("[data-holdout]").scroll_into_view_if_needed()
        page.evaluate("holdout.track('Order Completed', { order_id: 'S-2', revenue: 5, currency: 'EUR' })")
        until(lambda: ("Order Completed", "S-2") in server.events(), what="second order")
        assert seen(server) == before + 1


def test_snippet__without_consent__asks_and_stores_nothing(server: Server, page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    body = filled(server, EXAMPLE).replace(' data-consent="true"', "")
    with shop(server, body) as address:
        page.goto(address)
        assert page.evaluate("holdout.track('Page Viewed')") is False
        assert page.evaluate("localStorage.length") == 0
        assert not any("/ofrep/" in url or "/v1/" in url for url in asked)
        page.evaluate("holdout.consent()")
        assert variant(page) in {"control", "treatment"}
        page.evaluate("holdout.forget()")
        assert page.evaluate("localStorage.length") == 0


def test_snippet__stranger__is_in_no_experiment_on_signed_in_people(server: Server, page: Page) -> None:
    body = filled(server, EXAMPLE).replace("buy-button-visitors", "buy-button")
    with shop(server, body) as address:
        page.goto(address)
        assert page.evaluate("holdout.arm('buy-button').then((flag) => flag === undefined)") is True
    with shop(server, body.replace("data-key", 'data-user="u1" data-key')) as address:
        page.goto(address)
        assert page.evaluate("holdout.arm('buy-button').then((flag) => flag.metadata.unitType)") == "user_id"
