"""A real browser against a live server. Every page of a test must be free of console errors, of requests to other
hosts and of violations of the content security policy, or the test fails at its end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect
from pytest_django.live_server_helper import LiveServer

from tests.factories.campaigns import BROWSER

# Playwright's synchronous interface keeps an event loop in the thread, which Django takes for an async context.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "1")

TIMEOUT = 30_000  # milliseconds; a busy machine is slow, not wrong
expect.set_options(timeout=TIMEOUT)

WATCH_POLICY = """
window.__violations = [];
document.addEventListener(
  'securitypolicyviolation', (e) => window.__violations.push(e.violatedDirective + ' ' + e.blockedURI)
);
"""


@dataclass
class Watch:
    """What went wrong in the pages of one test."""

    host: str
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def on_console(self, message: ConsoleMessage) -> None:
        # That a form was refused (422) is an answer, which the browser calls an error.
        if message.type == "error" and "status of 422" not in message.text:
            self.errors.append(message.text)

    def on_request(self, request: Request) -> None:
        if not request.url.startswith((self.host, "data:", "about:", "blob:")):
            self.foreign.append(request.url)


@pytest.fixture
def context(browser: Browser, live_server: LiveServer) -> Iterator[BrowserContext]:
    """A fresh profile of the browser, rooted at the live server."""
    # A person's name: a headless browser's own is that of a bot, and bots are in no arm.
    fresh = browser.new_context(base_url=live_server.url, viewport={"width": 1280, "height": 900}, user_agent=BROWSER)
    fresh.set_default_timeout(TIMEOUT)
    yield fresh
    fresh.close()


@pytest.fixture
def page(context: BrowserContext, live_server: LiveServer) -> Iterator[Page]:
    """A page that fails the test on console errors, foreign requests and policy violations."""
    watch = Watch(host=live_server.url)
    context.add_init_script(WATCH_POLICY)
    context.on("request", watch.on_request)
    fresh = context.new_page()
    fresh.on("console", watch.on_console)
    fresh.on("pageerror", lambda error: watch.errors.append(str(error)))
    yield fresh
    violations = fresh.evaluate("window.__violations || []")
    assert watch.errors == []
    assert watch.foreign == []
    assert violations == []


def sign_in(context: BrowserContext, live_server: LiveServer, client: Client) -> None:
    """Give the browser the session of a signed-in test client."""
    session = client.cookies["sessionid"].value
    context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
