"""What a mailbox or a reader would mind about a message, before it is sent. Pure; codes, put into words elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

LONGEST_SUBJECT: Final = 60  # characters; phones show about 40, desktops about 60
MOST_BYTES: Final = 102_400
"""Gmail cuts off what is longer, with the unsubscribe link in it."""
SPAM_WORDS: Final = (
    "100% free", "act now", "cash bonus", "click here", "double your", "earn money", "free money", "guaranteed",
    "limited time", "no obligation", "risk free", "risk-free", "this is not spam", "urgent", "winner", "you have won",
)  # fmt: skip
_IMAGE: Final = re.compile(r"<img\b([^>]*)>", re.IGNORECASE)
_ALT: Final = re.compile(r"""\balt\s*=\s*("[^"]*[^"\s][^"]*"|'[^']*[^'\s][^']*')""", re.IGNORECASE)
_HREF: Final = re.compile(r"""<a\b[^>]*\bhref\s*=\s*(?:"([^"]*)"|'([^']*)')""", re.IGNORECASE)
_ALLOWED: Final = re.compile(r"https?://[^\s/]|mailto:\S|tel:\S|\{\{", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing; `detail` is the word, the address or the size."""

    code: str
    detail: str = ""


def lint(*, subject: str, headline: str, body: str) -> list[Finding]:
    """Return what stands out in a message's words; an empty list is a message without a fault.

    >>> lint(subject="Picked for you", headline="New", body='<p>Hello</p><a href="https://shop.example/">Shop</a>')
    []
    >>> [(found.code, found.detail) for found in lint(subject="ACT NOW!!!", headline="", body='<img src="x">')]
    [('shouting', 'ACT NOW!!!'), ('exclamation', '!!!'), ('spam_word', 'act now'), ('no_alt', '1')]
    """
    return [*_subject(subject), *_words(f"{subject}\n{headline}\n{body}"), *_body(body)]


def bad_links(body: str) -> list[str]:
    """Return the addresses that lead nowhere in a mailbox: relative ones, scripts, empty ones.

    >>> bad_links('<a href="/shop/">a</a> <a href="{{ item.url }}">b</a> <a href="mailto:a@b.example">c</a>')
    ['/shop/']
    """
    found = [first or second for first, second in _HREF.findall(body)]
    return [address for address in found if not _ALLOWED.match(address.strip())]


def _subject(subject: str) -> Iterator[Finding]:
    letters = [char for char in subject if char.isalpha()]
    if len(letters) > 3 and all(char.isupper() for char in letters):
        yield Finding("shouting", subject)
    if "!!" in subject or subject.count("!") > 1:
        yield Finding("exclamation", "!" * subject.count("!"))
    if len(subject) > LONGEST_SUBJECT and "{" not in subject:
        yield Finding("long_subject", str(len(subject)))


def _words(text: str) -> Iterator[Finding]:
    lower = text.lower()
    yield from (Finding("spam_word", word) for word in SPAM_WORDS if re.search(rf"\b{re.escape(word)}\b", lower))


def _body(body: str) -> Iterator[Finding]:
    bare = [attributes for attributes in _IMAGE.findall(body) if not _ALT.search(attributes)]
    if bare:
        yield Finding("no_alt", str(len(bare)))
    yield from (
        Finding("plain_http", first or second)
        for first, second in _HREF.findall(body)
        if (first or second).lower().startswith("http://")
    )
