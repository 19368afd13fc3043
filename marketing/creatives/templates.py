"""Marketers' templates: Liquid, because Django templates in their hands would be code execution.

The context holds plain values only, filters that can build large values in one step are left out (a range joined to
text, a replacement, a product), and loops, output and variables have limits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from liquid import BoundTemplate, Environment
from liquid.exceptions import LiquidError

FILTERS: Final = frozenset(
    [
        "abs",
        "append",
        "at_least",
        "at_most",
        "capitalize",
        "ceil",
        "date",
        "default",
        "downcase",
        "escape",
        "first",
        "floor",
        "last",
        "lstrip",
        "minus",
        "newline_to_br",
        "plus",
        "prepend",
        "round",
        "rstrip",
        "size",
        "strip",
        "strip_html",
        "strip_newlines",
        "truncate",
        "truncatewords",
        "upcase",
        "url_encode",
    ]
)
TAGS: Final = frozenset(
    ["#", "assign", "break", "capture", "case", "comment", "continue", "cycle", "echo", "for", "if", "unless"]
)
"""Beside these, output and plain text. None reads another template."""
LONGEST_SOURCE: Final = 10_000  # characters
KEPT: Final = 512  # compiled templates


class BadTemplate(ValueError):
    """The template cannot be used; the text says why."""


class _Limited(Environment):
    loop_iteration_limit = 10_000
    output_stream_limit = 200_000
    local_namespace_limit = 100_000
    context_depth_limit = 10

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        super().setup_tags_and_filters(extra=extra)
        self.filters = {name: call for name, call in self.filters.items() if name in FILTERS}
        self.tags = {name: tag for name, tag in self.tags.items() if name in TAGS | {"content", "output", "illegal"}}


_HTML: Final = _Limited(autoescape=True)
_TEXT: Final = _Limited(autoescape=False)


def check(*, source: str, is_html: bool, known: Iterable[str]) -> list[str]:
    """Return what a template names that no message has (`person.shoesize`); `BadTemplate` where it cannot be read.

    `known` lists paths like `person.first_name`; a path that starts with a known one followed by a dot is known, too.
    """
    paths = named(source=source, is_html=is_html)
    allowed = tuple(known)
    return sorted(
        path for path in paths if not any(path == one or path.startswith((f"{one}.", f"{one}[")) for one in allowed)
    )


def named(*, source: str, is_html: bool) -> set[str]:
    """Return what a template names; `BadTemplate` where it cannot be read."""
    return {str(path) for path in _compiled(source, is_html=is_html).global_variable_paths()}


def render(*, source: str, is_html: bool, context: Mapping[str, Any]) -> str:
    """Return the text; `BadTemplate` where it does not compile or reaches a limit. HTML values are escaped."""
    try:
        return _compiled(source, is_html=is_html).render(**context)
    except (LiquidError, RecursionError, OverflowError) as error:
        raise BadTemplate(_said(error)) from error


@lru_cache(maxsize=KEPT)
def _compiled(source: str, *, is_html: bool) -> BoundTemplate:
    if len(source) > LONGEST_SOURCE:
        raise BadTemplate(f"It is longer than {LONGEST_SOURCE} characters.")
    try:
        return (_HTML if is_html else _TEXT).from_string(source)
    except (LiquidError, RecursionError) as error:
        raise BadTemplate(_said(error)) from error


def _said(error: Exception) -> str:
    return str(error).split("\n", 1)[0] or type(error).__name__
