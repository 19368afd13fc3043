from __future__ import annotations

import io
import json
import logging
import logging.config
import re
from collections.abc import Iterable, Iterator

import pytest
from django.urls import URLPattern, URLResolver, get_resolver


def test_log__address_in_message_and_trace__is_replaced(stream: io.StringIO) -> None:
    try:
        raise ValueError("no profile for ada@example.com")
    except ValueError:
        logging.getLogger("holdout.test").exception("could not send to %s", "bob@example.org")
    entry = json.loads(stream.getvalue())
    assert entry["event"] == "could not send to [address]"
    assert "ada@example.com" not in stream.getvalue()
    assert entry["level"] == "ERROR"


def addresses(patterns: Iterable[URLPattern | URLResolver], before: str = "/") -> Iterator[str]:
    """Every address of the project in which something is named `token`, with a signed one in its place."""
    for pattern in patterns:
        path = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern.url_patterns, path)
        elif "token>" in path:
            yield re.sub("<[^>]*>", "x", re.sub("<[^>]*token>", "eyJwIjoxfQ:1abc:d-E_f", path))


def test_log__signed_link__keeps_its_token_to_itself(stream: io.StringIO) -> None:
    paths = list(addresses(get_resolver().url_patterns))
    assert len(paths) >= 10
    for path in paths:
        logging.getLogger("django.request").warning("Not Found: %s", path)
    logged = [json.loads(line)["event"] for line in stream.getvalue().splitlines()]
    assert [line for line in logged if "[token]" not in line or "eyJ" in line] == []


@pytest.mark.parametrize("path", ["/c/spring/", "/srv/m/code.py"])
def test_log__other_path__is_as_it_was(stream: io.StringIO, path: str) -> None:
    logging.getLogger("django.request").warning("Not Found: %s", path)
    assert json.loads(stream.getvalue())["event"] == f"Not Found: {path}"
