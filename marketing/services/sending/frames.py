"""The frame around a message, rendered once for all messages of its shape and filled in for each.

Django's templates take about two milliseconds for the HTML and the text of a message, and nearly all of both is the
same for everybody in an arm: the frame is rendered with holes, and a message puts its values into them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from django.template.defaultfilters import floatformat
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.html import escape
from django.utils.safestring import SafeString

HTML: Final = "marketing/mail/message.html"
TEXT: Final = "marketing/mail/message.txt"
KEPT: Final = 256  # frames; an arm has one for each language and number of items
OPEN, CLOSE = "\ue000", "\ue001"
"""Around the name of a hole: no template has these, and what people write is put in after the holes were found."""
HOLE: Final = re.compile(f"{OPEN}([a-z0-9_]+){CLOSE}")
ITEM_HOLES: Final = ("title", "url", "image", "cost")


@dataclass(frozen=True, slots=True)
class Shape:
    """What the frames of two messages have in common: everything but the values that differ from one to the next."""

    language: str
    """As the mailbox is told it, `de-AT`."""
    words_in: str
    """Whose words the frame uses, `de`."""
    sender_name: str
    postal_address: str
    button_text: str
    """Empty without a button."""
    items: tuple[tuple[bool, bool], ...]
    """Of each item whether it has a picture and a price."""


@dataclass(frozen=True, slots=True)
class _Frame:
    pieces: tuple[str, ...]
    """Text and the name of a hole in turns."""

    def fill(self, values: Mapping[str, str]) -> str:
        parts = list(self.pieces)
        parts[1::2] = [values[name] for name in self.pieces[1::2]]
        return "".join(parts)


def shape_of(
    *, language: str, words_in: str, sender: Any, button_text: str, items: Sequence[Mapping[str, Any]]
) -> Shape:
    """Return the shape of a message."""
    shown = tuple((bool(item["image"]), item["price"] is not None) for item in items)
    return Shape(language, words_in, sender.name, sender.postal_address, button_text, shown)


def fill(
    *,
    shape: Shape,
    headline: str,
    body: str,
    body_text: str,
    items: Sequence[Mapping[str, Any]],
    button_url: str,
    unsubscribe_url: str,
) -> tuple[str, str]:
    """Return the HTML and the text of a message; `body` is clean HTML, and everything else is escaped here."""
    values = {"headline": headline, "button_url": button_url, "unsubscribe_url": unsubscribe_url}
    for number, item in enumerate(items):
        values |= {f"title{number}": item["title"], f"url{number}": item["url"], f"image{number}": item["image"] or ""}
        values[f"cost{number}"] = cost(item["price"], item["currency"], shape.words_in)
    escaped = {name: escape(value) for name, value in values.items()}
    return (
        _frame(HTML, shape).fill({**escaped, "body": body}),
        _frame(TEXT, shape).fill({**values, "body": body_text}),
    )


@lru_cache(maxsize=4096)
def cost(price: float | None, currency: str, language: str) -> str:
    """Return a price as it is written in a language; empty where there is none.

    >>> cost(1234.5, "EUR", "de"), cost(None, "EUR", "de")
    ('1234,50 EUR', '')
    """
    if price is None:
        return ""
    with translation.override(language):
        return f"{floatformat(price, 2)} {currency}"


@lru_cache(maxsize=KEPT)
def _frame(template: str, shape: Shape) -> _Frame:
    items = [
        {name: _hole(f"{name}{number}") for name in ITEM_HOLES}
        | ({} if has_image else {"image": ""})
        | ({} if has_price else {"cost": ""})
        for number, (has_image, has_price) in enumerate(shape.items)
    ]
    context = {
        "arm": {"button_text": shape.button_text},
        "sender": {"name": shape.sender_name, "postal_address": shape.postal_address},
        "language": shape.language,
        "items": items,
        "button_url": _hole("button_url") if shape.button_text else "",
        "headline": _hole("headline"),
        "body": SafeString(_hole("body")),
        "unsubscribe_url": _hole("unsubscribe_url"),
    }
    with translation.override(shape.words_in):
        return _Frame(tuple(HOLE.split(render_to_string(template, context))))


def _hole(name: str) -> str:
    return f"{OPEN}{name}{CLOSE}"
