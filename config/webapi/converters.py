"""Parts of addresses that every store can look for: no number beyond 64 bits, no NUL."""

from __future__ import annotations

from django.urls import register_converter
from django.urls.converters import IntConverter, StringConverter


class IdConverter(IntConverter):
    """A key of a row."""

    regex = "[0-9]{1,18}"


class NameConverter(StringConverter):
    """A text of a shop's, without a slash."""

    regex = "[^/\x00]{1,200}"


def register() -> None:
    """Make `<id:…>` and `<name:…>` known to the URL maps."""
    register_converter(IdConverter, "id")
    register_converter(NameConverter, "name")
