from __future__ import annotations

import fcntl
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError

from marketing.choices import SourceKind
from marketing.models import DeadLetter, Event, Source, SpoolOffset
from marketing.services import drain as service
from marketing.services.drain import drain, lag
from marketing.services.sources import ensure_source
from marketing.spooling.writer import SpoolWriter

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.fixture
def source() -> Source:
    return ensure_source(name="shop", kind=SourceKind.SERVER, at=NOW)


def viewed(number: int, **more: Any) -> dict[str, Any]:
    return {
        "type": "track",
        "event": "Product Viewed",
        "anonymousId": f"a{number % 3}",
        "messageId": f"m{number}",
    } | more


def line(source: Source, body: Any, *, kind: str = "", at: datetime = NOW, name: str = "e") -> bytes:
    envelope = {"id": name, "at": int(at.timestamp() * 1e6), "source": source.pk, "kind": kind, "body": body}
    return json.dumps(envelope).encode() + b"\n"


def spool(folder: Path, *lines: bytes, is_open: bool = False) -> SpoolWriter:
    writer = SpoolWriter(folder)
    for one in lines:
        writer.write(one)
    if not is_open:
        writer.close()
    return writer


def test_drain__batches_and_singles__are_stored_and_the_segment_removed(tmp_path: Path, source: Source) -> None:
    single = {key: value for key, value in viewed(3).items() if key != "type"}
    spool(tmp_path, line(source, {"batch": [viewed(1), viewed(2)]}), line(source, single, kind="track"))
    result = drain(at=NOW, folder=tmp_path)
    assert (result.accepted, result.duplicates, result.rejected, result.segments_removed) == (3, 0, 0, 1)
    assert set(Event.objects.values_list("message_id", flat=True)) == {"m1", "m2", "m3"}
    assert not list(tmp_path.glob("*.spool"))
    assert not SpoolOffset.objects.exists()


def test_drain__writer_is_alive__keeps_the_segment_and_goes_on_later(tmp_path: Path, source: Source) -> None:
    writer = spool(tmp_path, line(source, {"batch": [viewed(1)]}), is_open=True)
    assert drain(at=NOW, folder=tmp_path).accepted == 1
    writer.write(line(source, {"batch": [viewed(2)]}))
    second = drain(at=NOW, folder=tmp_path)
    assert (second.accepted, second.duplicates) == (1, 0)
    assert len(list(tmp_path.glob("*.spool"))) == 1
    writer.close()


def test_drain__same_message_twice__is_stored_once(tmp_path: Path, source: Source) -> None:
    spool(tmp_path, line(source, {"batch": [viewed(1)]}), line(source, {"batch": [viewed(1)]}))
    result = drain(at=NOW, folder=tmp_path)
    assert (result.accepted, result.duplicates) == (1, 1)


def test_drain__killed_before_the_commit__offset_and_rows_go_back_together(
    tmp_path: Path, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool(tmp_path, line(source, {"batch": [viewed(1)]}))
    real = SpoolOffset.objects.filter

    def dies(*args: Any, **kwargs: Any) -> Any:
        if "pk" in kwargs:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(SpoolOffset.objects, "filter", dies)
    with pytest.raises(KeyboardInterrupt):
        drain(at=NOW, folder=tmp_path)
    monkeypatch.undo()
    assert not Event.objects.exists()
    assert not SpoolOffset.objects.exists()
    assert drain(at=NOW, folder=tmp_path).accepted == 1


def test_drain__message_without_an_id__gets_one_that_a_second_pass_repeats(tmp_path: Path, source: Source) -> None:
    bare = {key: value for key, value in viewed(1).items() if key != "messageId"}
    for _ in range(2):
        spool(tmp_path, line(source, {"batch": [bare, bare]}, name="envelope"))
    result = drain(at=NOW, folder=tmp_path)
    assert (result.accepted, result.duplicates) == (2, 2)
    assert set(Event.objects.values_list("message_id", flat=True)) == {"envelope-0", "envelope-1"}


def test_drain__client_clock_is_wrong__is_corrected_by_sent_at(tmp_path: Path, source: Source) -> None:
    body = {"batch": [viewed(1, timestamp="2026-11-24T10:00:00Z")], "sentAt": "2026-11-24T10:30:00Z"}
    spool(tmp_path, line(source, body))
    drain(at=NOW, folder=tmp_path)
    assert Event.objects.get().at == int((NOW - timedelta(minutes=30)).timestamp() * 1e6)


def test_drain__garbled_line_between_good_ones__is_kept_as_a_dead_letter(tmp_path: Path, source: Source) -> None:
    spool(tmp_path, line(source, {"batch": [viewed(1)]}), b'{"half\x00\n', line(source, {"batch": [viewed(2), "text"]}))
    result = drain(at=NOW, folder=tmp_path)
    assert (result.accepted, result.rejected) == (2, 2)
    assert {letter.source_id for letter in DeadLetter.objects.all()} == {None, source.pk}


def test_drain__unknown_source__is_a_dead_letter(tmp_path: Path, source: Source) -> None:
    spool(tmp_path, line(source, {"batch": [viewed(1)]}).replace(f'"source": {source.pk}'.encode(), b'"source": 99999'))
    assert drain(at=NOW, folder=tmp_path).rejected == 1
    assert "99999" in DeadLetter.objects.get().reason


def test_drain__database_gives_out__raises_and_loses_nothing(
    tmp_path: Path, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool(tmp_path, line(source, {"batch": [viewed(1)]}))

    def gone(**kwargs: Any) -> None:
        raise OperationalError("connection lost")

    monkeypatch.setattr(service, "ingest", gone)
    with pytest.raises(OperationalError):
        drain(at=NOW, folder=tmp_path)
    monkeypatch.undo()
    assert not DeadLetter.objects.exists()
    assert drain(at=NOW, folder=tmp_path).accepted == 1


def test_drain__torn_tail_of_a_dead_writer__was_never_acknowledged(tmp_path: Path, source: Source) -> None:
    spool(tmp_path, line(source, {"batch": [viewed(1)]}))
    (segment,) = tmp_path.glob("*.spool")
    with segment.open("ab") as stream:
        stream.write(line(source, {"batch": [viewed(2)]})[:-10])
    assert drain(at=NOW, folder=tmp_path).accepted == 1
    assert not list(tmp_path.glob("*.spool"))


def test_drain__another_drainer_at_work__does_nothing(tmp_path: Path, source: Source) -> None:
    spool(tmp_path, line(source, {"batch": [viewed(1)]}))
    descriptor = os.open(tmp_path / service.LOCK_FILE, os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    assert drain(at=NOW, folder=tmp_path).accepted == 0
    os.close(descriptor)
    assert drain(at=NOW, folder=tmp_path).accepted == 1


def test_drain__two_hosts__each_drains_its_own_spool_and_a_message_sent_to_both_is_one(
    tmp_path: Path, source: Source
) -> None:
    hosts = [tmp_path / "one", tmp_path / "two"]
    for number, folder in enumerate(hosts):
        folder.mkdir()
        spool(folder, line(source, {"batch": [viewed(1), viewed(10 + number)]}))
    results = [drain(at=NOW, folder=folder) for folder in hosts]
    assert [(one.accepted, one.duplicates) for one in results] == [(2, 0), (1, 1)]
    assert Event.objects.count() == 3


def test_drain__offset_of_a_removed_segment__is_forgotten_after_a_week(tmp_path: Path) -> None:
    SpoolOffset.objects.create(segment="old", offset=1, updated_at=NOW - timedelta(days=8))
    SpoolOffset.objects.create(segment="new", offset=1, updated_at=NOW - timedelta(days=1))
    drain(at=NOW, folder=tmp_path)
    assert list(SpoolOffset.objects.values_list("segment", flat=True)) == ["new"]


def test_lag__nothing_waits__is_zero_else_the_oldest_age(tmp_path: Path, source: Source) -> None:
    assert lag(at=NOW, folder=tmp_path) == 0.0
    writer = spool(tmp_path, line(source, {"batch": [viewed(1)]}, at=NOW - timedelta(seconds=40)), is_open=True)
    spool(tmp_path, b"garbage\n")
    assert lag(at=NOW, folder=tmp_path) == pytest.approx(40)
    drain(at=NOW, folder=tmp_path)
    assert lag(at=NOW, folder=tmp_path) == 0.0
    writer.close()
