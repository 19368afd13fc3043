"""The browser SDKs, unchanged, in Chromium on a page of another origin: CORS, batches, beacons, 304."""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.clients.conftest import PERSON, Server
from tests.endtoend.stack import ROOT, until

pytestmark = [pytest.mark.worker, pytest.mark.browser, pytest.mark.node]
SEGMENT, RUDDER, _ = re.findall(r"```html\n(.*?)```", (ROOT / "docs" / "clients.md").read_text(), flags=re.DOTALL)
BATCHES = 'deliveryStrategy: { strategy: "batching", config: { size: %d, timeout: %d } }, '
BEACON = "useBeacon: true, "
OFREP = """
<script type="importmap">{"imports": {
  "@openfeature/core": "/node_modules/@openfeature/core/dist/esm/index.js",
  "@openfeature/web-sdk": "/node_modules/@openfeature/web-sdk/dist/esm/index.js",
  "@openfeature/ofrep-core":
    "/node_modules/@openfeature/ofrep-web-provider/node_modules/@openfeature/ofrep-core/index.esm.js",
  "@openfeature/ofrep-web-provider": "/node_modules/@openfeature/ofrep-web-provider/index.esm.js"
}}</script>
<script type="module">
  import { OpenFeature } from "@openfeature/web-sdk";
  import { OFREPWebProvider } from "@openfeature/ofrep-web-provider";
  const headers = [["X-API-Key", "hk_client_key"]];
  const provider = new OFREPWebProvider({ baseUrl: "https://holdout.example", pollInterval: 200, headers });
  await OpenFeature.setProviderAndWait(provider, { targetingKey: "u1", consent: true });
  window.flag = OpenFeature.getClient().getObjectDetails("buy-button", { color: "gray" });
</script>
"""
TRACK = "(order) => analytics.track('Order Completed', { order_id: order, revenue: 5, currency: 'EUR' })"


@contextmanager
def shop(node_folder: Path, body: str) -> Iterator[str]:
    """A page at an origin of its own, beside the npm packages."""
    (node_folder / "shop.html").write_text(f'<!doctype html><link rel="icon" href="data:,">{body}')
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(node_folder))
    web = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{web.server_port}/shop.html"
    finally:
        web.shutdown()
        web.server_close()


def filled(example: str, server: Server, more: str = "") -> str:
    """An example of docs/clients.md for this server, with options of the SDK's own."""
    host = f'apiHost: "{server.url.removeprefix("http://")}/v1", protocol: "http"'  # the SDK names https by itself
    example = example.replace('apiHost: "holdout.example/v1"', host).replace("https://holdout.example", server.url)
    for before in ('apiHost: "', "getSourceConfig: "):
        example = example.replace(before, more + before)
    return example.replace("hk_client_key", server.key)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(user_agent=PERSON)
    fresh = context.new_page()
    errors: list[str] = []
    fresh.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    fresh.on("pageerror", lambda error: errors.append(str(error)))
    yield fresh
    assert errors == []
    context.close()


def stored(server: Server, *orders: str) -> Callable[[], bool]:
    return lambda: all(server.events().count(("Order Completed", order)) == 1 for order in orders)


@pytest.mark.parametrize(
    ("more", "order"),
    [("", "B-1"), (BATCHES % (3, 500), "B-2")],
    ids=["one by one", "in batches"],
)
def test_segment__tracks__is_stored_once(server: Server, node_folder: Path, page: Page, more: str, order: str) -> None:
    with shop(node_folder, filled(SEGMENT, server, more)) as address:
        page.goto(address)
        page.evaluate("analytics.identify('u7', { country: 'DE' })")
        page.evaluate(TRACK, order)
        page.evaluate("analytics.page()")
        until(stored(server, order), what="order")


def test_segment__page_left_at_once__still_delivers_its_batch(server: Server, node_folder: Path, page: Page) -> None:
    with shop(node_folder, filled(SEGMENT, server, BATCHES % (50, 60_000))) as address:
        page.goto(address)
        page.evaluate(TRACK, "B-3")
        page.goto("about:blank")
        until(stored(server, "B-3"), what="order")


@pytest.mark.parametrize(("more", "order"), [("", "B-4"), (BEACON, "B-5")], ids=["one by one", "by beacon"])
def test_rudder__tracks__is_stored_once(server: Server, node_folder: Path, page: Page, more: str, order: str) -> None:
    with shop(node_folder, filled(RUDDER, server, more)) as address:
        page.goto(address)
        page.evaluate(TRACK, order)
        if more == BEACON:
            page.wait_for_function("Object.keys(localStorage).length > 0")
            page.goto("about:blank")  # the beacon leaves with the page
        until(stored(server, order), what="order")


def test_openfeature_web__polls__and_is_told_that_nothing_changed(
    server: Server, node_folder: Path, page: Page, tmp_path: Path
) -> None:
    (arm,) = server.arms(["u1"], tmp_path)["buy-button"]
    statuses: list[int] = []
    page.on("response", lambda answer: statuses.append(answer.status) if "/ofrep/" in answer.url else None)
    with shop(node_folder, filled(OFREP, server)) as address:
        page.goto(address)
        page.wait_for_function("window.flag !== undefined")
        assert page.evaluate("flag.variant") == (arm or "code-default")
        page.wait_for_timeout(1_000)
    assert statuses.count(200) == 1
    assert statuses.count(304) >= 2
