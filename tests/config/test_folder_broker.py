from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from kombu import Connection
from kombu.exceptions import ChannelError

from config.celery import app
from config.folder_broker import Channel, Transport


@pytest.fixture
def channel(tmp_path: Path) -> Iterator[Channel]:
    options = dict.fromkeys(("data_folder_in", "data_folder_out", "control_folder"), str(tmp_path))
    with Connection("filesystem://", transport=Transport, transport_options=options) as connection:
        channel = connection.channel()
        assert isinstance(channel, Channel)
        yield channel


def test_put__while_a_message_is_written__nobody_finds_it(channel: Channel, tmp_path: Path) -> None:
    found: list[Path] = []

    class Slow:
        def __json__(self) -> str:
            found.extend(tmp_path.glob("*.msg"))
            return "written"

    channel._put("work", {"part": Slow()})
    assert found == []
    assert channel._get("work") == {"part": "written"}
    assert list(tmp_path.iterdir()) == []


def test_put__folder_is_gone__is_an_error_that_celery_knows(channel: Channel, tmp_path: Path) -> None:
    tmp_path.rmdir()
    with pytest.raises(ChannelError, match="Cannot add the message"):
        channel._put("work", {})


def test_app__without_a_server__uses_it() -> None:
    with app.connection_for_write() as connection:
        assert isinstance(connection.transport, Transport) == (not settings.REDIS_URL)
