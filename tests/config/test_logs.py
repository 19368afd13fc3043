from __future__ import annotations

import io
import json
import logging
import logging.config
from collections.abc import Iterator

import pytest
from django.conf import settings

from config.logs import logging_settings


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Log as in production, into a text."""
    config = logging_settings(json=True)
    written = io.StringIO()
    config["handlers"]["console"]["stream"] = written
    logging.config.dictConfig(config)
    yield written
    logging.config.dictConfig(settings.LOGGING)


def test_log__address_in_message_and_trace__is_replaced(stream: io.StringIO) -> None:
    try:
        raise ValueError("no profile for ada@example.com")
    except ValueError:
        logging.getLogger("holdout.test").exception("could not send to %s", "bob@example.org")
    entry = json.loads(stream.getvalue())
    assert entry["event"] == "could not send to [address]"
    assert "ada@example.com" not in stream.getvalue()
    assert entry["level"] == "ERROR"
