"""People on the campaign page: each a browser of its own, through HTTP, with a known chance to buy."""

from __future__ import annotations

import functools
import http.client
import http.cookiejar
import re
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from typing import Any


class FromAddress(urllib.request.HTTPHandler):
    """Connects from an address of its own (all of 127/8 is this machine), as people do: rate limits count addresses."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._connect = functools.partial(http.client.HTTPConnection, source_address=(address, 0))

    def http_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(self._connect, req)


@dataclass
class Visitor:
    """One anonymous visitor with cookies."""

    url: str
    number: int
    cookies: http.cookiejar.CookieJar = field(default_factory=http.cookiejar.CookieJar)

    def __post_init__(self) -> None:
        self._opener = urllib.request.build_opener(
            FromAddress(f"127.0.1.{1 + self.number % 250}"), urllib.request.HTTPCookieProcessor(self.cookies)
        )
        self._opener.addheaders = [
            ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/130 Safari/537.36")
        ]

    def get(self, path: str, **headers: str) -> str:
        request = urllib.request.Request(self.url + path, headers=headers)
        with self._opener.open(request, timeout=30) as answer:
            return str(answer.read().decode())

    def post(self, path: str, **fields: str) -> str:
        token = next(cookie.value for cookie in self.cookies if cookie.name == "csrftoken")
        body = urllib.parse.urlencode(fields | {"csrfmiddlewaretoken": token or ""}).encode()
        with self._opener.open(urllib.request.Request(self.url + path, data=body), timeout=30) as answer:
            return str(answer.read().decode())

    def come_and_consent(self, *, item: str) -> None:
        """Answer the consent question with yes and look at an item."""
        self.get("/shop/")
        self.post("/shop/-/consent/", analytics="on", personalization="on")
        self.get(f"/shop/{item}/")

    def see_slot(self, campaign: str) -> str:
        """Open the campaign page and let its slot load, as the browser does when it comes into view."""
        self.get(f"/c/{campaign}/")
        return self.get(f"/c/{campaign}/slot/", **{"HX-Request": "true"})

    def follow_first_item(self, slot: str) -> None:
        """Click the first recommended item."""
        link = re.search(r'class="product" href="([^"]+)"', slot)
        assert link is not None, slot
        self.get(link[1])

    def buy(self, item: str) -> None:
        self.post(f"/shop/-/buy/{item}/")
