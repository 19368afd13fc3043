"""HTML that a mailbox may show, and the same as plain text."""

from __future__ import annotations

import html
import re
from functools import lru_cache
from typing import Final

import nh3

TAGS: Final = frozenset(
    [
        "a",
        "b",
        "strong",
        "i",
        "em",
        "u",
        "s",
        "br",
        "p",
        "div",
        "span",
        "h1",
        "h2",
        "h3",
        "ul",
        "ol",
        "li",
        "blockquote",
        "hr",
        "img",
        "table",
        "tr",
        "td",
        "th",
    ]
)
ATTRIBUTES: Final = {"a": {"href", "title"}, "img": {"src", "alt", "width", "height"}, "td": {"align"}, "th": {"align"}}
SCHEMES: Final = frozenset({"http", "https", "mailto", "tel"})
KEPT: Final = 512
"""Bodies that name nobody are the same for everybody in an arm."""
_LINK: Final = re.compile(r'<a href="([^"]*)"[^>]*>(.*?)</a>', re.DOTALL)
_END: Final = re.compile(r"<br>|</(?:p|div|h[1-3]|li|tr|blockquote)>|<hr>")
_ITEM: Final = re.compile(r"<li>")
_BLANK: Final = re.compile(r"\n{3,}")


@lru_cache(maxsize=KEPT)
def clean(source: str) -> str:
    """Return the HTML without scripts, styles, event handlers and addresses of other schemes."""
    return nh3.clean(
        source, tags=set(TAGS), attributes=ATTRIBUTES, url_schemes=set(SCHEMES), link_rel=None, strip_comments=True
    )


def as_text(source: str) -> str:
    """Return HTML as plain text: links keep their address, list items get a dash."""
    return text_of(clean(source))


@lru_cache(maxsize=KEPT)
def text_of(cleaned: str) -> str:
    """Return clean HTML as plain text."""
    text = _LINK.sub(lambda found: f"{found[2]} ({found[1]})" if found[1] != found[2] else found[1], cleaned)
    text = _ITEM.sub("- ", _END.sub("\n", text))
    text = html.unescape(nh3.clean(text, tags=set()))
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return _BLANK.sub("\n\n", "\n".join(lines)).strip()
