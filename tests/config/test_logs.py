from __future__ import annotations

import io
import json
import logging
import logging.config

import pytest


def test_log__address_in_message_and_trace__is_replaced(stream: io.StringIO) -> None:
    try:
        raise ValueError("no profile for ada@example.com")
    except ValueError:
        logging.getLogger("holdout.test").exception("could not send to %s", "bob@example.org")
    entry = json.loads(stream.getvalue())
    assert entry["event"] == "could not send to [address]"
    assert "ada@example.com" not in stream.getvalue()
    assert entry["level"] == "ERROR"


@pytest.mark.parametrize(
    ("path", "logged"),
    [
        ("/me/abc:def/", "/me/[token]/"),
        ("/me/confirm/abc:def/", "/me/confirm/[token]/"),
        ("/unsubscribe/x-y/", "/unsubscribe/[token]/"),
        ("/accounts/one-time/MQ/abc/", "/accounts/one-time/MQ/[token]/"),
        ("/c/spring/", "/c/spring/"),
        ("/srv/m/code.py", "/srv/m/code.py"),
    ],
)
def test_log__signed_link__keeps_its_token_to_itself(stream: io.StringIO, path: str, logged: str) -> None:
    logging.getLogger("django.request").warning("Not Found: %s", path)
    assert json.loads(stream.getvalue())["event"] == f"Not Found: {logged}"
