from __future__ import annotations

import io
import json
import logging
import logging.config


def test_log__address_in_message_and_trace__is_replaced(stream: io.StringIO) -> None:
    try:
        raise ValueError("no profile for ada@example.com")
    except ValueError:
        logging.getLogger("holdout.test").exception("could not send to %s", "bob@example.org")
    entry = json.loads(stream.getvalue())
    assert entry["event"] == "could not send to [address]"
    assert "ada@example.com" not in stream.getvalue()
    assert entry["level"] == "ERROR"
