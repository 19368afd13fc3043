from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.db import DatabaseError

from experiments.errors import GateClosed, TooManyRequests
from marketing.models import Source, WriteKey
from marketing.spooling import reader
from marketing.spooling.writer import SpoolWriter
from marketing.wire import collect, gate
from marketing.wire.gate import ClientGate
from marketing.wire.keys import WriteKeys

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
MESSAGE = {"type": "track", "event": "Experiment Viewed", "anonymousId": "a", "messageId": "m1"}


@pytest.fixture
def collector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[collect.Collector]:
    source = Source.objects.create(name="shop", kind="browser", created_at=NOW)
    for secret, scopes in {"both": ["write", "decide"], "writes": ["write"], "decides": ["decide"]}.items():
        digest = hashlib.sha256(secret.encode()).hexdigest()
        WriteKey.objects.create(source=source, prefix=secret, sha256=digest, scopes=scopes, created_at=NOW)
    made = collect.Collector(folder=tmp_path, writer=SpoolWriter(tmp_path), keys=WriteKeys())
    monkeypatch.setattr(gate, "collector", lambda: made)
    yield made
    made.writer.close()


def spooled(collector: collect.Collector) -> list[dict[str, object]]:
    return [
        json.loads(line)
        for path in reader.segments(collector.folder)
        for line in reader.read(path, offset=0, most_bytes=1 << 20).lines
    ]


def test_admit__key_that_may_decide__passes(collector: collect.Collector) -> None:
    ClientGate().admit("both")
    ClientGate().admit("decides")


@pytest.mark.parametrize("secret", ["writes", "unknown", ""])
def test_admit__other_key__is_closed(collector: collect.Collector, secret: str) -> None:
    with pytest.raises(GateClosed, match="decide"):
        ClientGate().admit(secret)


def test_report__messages__are_one_line_of_the_spool(collector: collect.Collector) -> None:
    ClientGate().report("both", [MESSAGE, MESSAGE])
    ClientGate().report("both", [])
    (line,) = spooled(collector)
    assert line["source"] == Source.objects.get().pk
    assert line["body"] == {"batch": [MESSAGE, MESSAGE]}


def test_report__key_without_write__is_closed(collector: collect.Collector) -> None:
    with pytest.raises(GateClosed, match="write"):
        ClientGate().report("decides", [MESSAGE])
    assert spooled(collector) == []


def test_report__spool_full__has_to_wait(collector: collect.Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect.Collector, "is_full", lambda _self: True)
    with pytest.raises(TooManyRequests) as raised:
        ClientGate().report("both", [MESSAGE])
    assert raised.value.seconds == 30


def test_admit__above_the_rate_limit__has_to_wait(collector: collect.Collector) -> None:
    WriteKey.objects.update(rate_limit=1)
    ClientGate().admit("decides")
    with pytest.raises(TooManyRequests):
        ClientGate().admit("decides")


def test_admit__keys_never_read__is_not_a_refusal(
    collector: collect.Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_args: object, **_options: object) -> None:
        raise DatabaseError("gone")

    monkeypatch.setattr(WriteKey.objects, "filter", down)
    with pytest.raises(OSError, match="could not be read"):
        ClientGate().admit("decides")
