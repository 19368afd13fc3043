from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from marketing.spooling import reader, writer
from marketing.spooling.writer import SpoolFull, SpoolWriter


def lines_of(folder: Path) -> list[bytes]:
    return [line for path in reader.segments(folder) for line in reader.read(path, offset=0, most_bytes=1 << 20).lines]


def test_write__returns__only_after_the_line_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    real = os.fdatasync

    def watched(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_size)
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", watched)
    SpoolWriter(tmp_path).write(b"one\n")
    assert synced == [4]


def test_write__sync_fails__is_not_acknowledged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", broken)
    with pytest.raises(SpoolFull, match="Input/output"):
        SpoolWriter(tmp_path).write(b"one\n")


def test_write__disk_is_full__raises_and_the_next_line_stands_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = SpoolWriter(tmp_path)
    spool.write(b"first\n")
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:3]))
    with pytest.raises(SpoolFull, match="short write"):
        spool.write(b"second\n")
    monkeypatch.setattr(os, "write", real)
    spool.write(b"third\n")
    assert lines_of(tmp_path) == [b"first", b"third"]


def test_write__no_space_at_all__raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = SpoolWriter(tmp_path)

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(SpoolFull, match="No space"):
        spool.write(b"line\n")


def test_write__folder_is_gone__raises(tmp_path: Path) -> None:
    with pytest.raises(SpoolFull):
        SpoolWriter(tmp_path / "missing").write(b"line\n")


def test_write__from_many_threads__keeps_every_line_whole(tmp_path: Path) -> None:
    spool = SpoolWriter(tmp_path)

    def work(name: int) -> None:
        for number in range(50):
            spool.write(f"{name}:{number}:{'x' * 200}\n".encode())

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spool.close()
    found = lines_of(tmp_path)
    assert len(found) == 400
    assert {line.rsplit(b":", 1)[0] for line in found} == {f"{a}:{b}".encode() for a in range(8) for b in range(50)}


def test_write__segment_is_large__starts_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MOST_BYTES", 8)
    spool = SpoolWriter(tmp_path)
    for line in (b"12345678\n", b"2\n"):
        spool.write(line)
    first, second = reader.segments(tmp_path)
    assert reader.is_orphaned(first)
    assert not reader.is_orphaned(second)
    assert lines_of(tmp_path) == [b"12345678", b"2"]
    assert (first.stat().st_mode & 0o777) == 0o600


def test_read__torn_tail__is_left_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "1.spool"
    path.write_bytes(b"a\nb\ntorn")
    chunk = reader.read(path, offset=0, most_bytes=100)
    assert chunk == reader.Chunk(lines=(b"a", b"b"), end=4)
    assert reader.read(path, offset=4, most_bytes=100) == reader.Chunk(lines=(), end=4)


def test_read__line_longer_than_asked__comes_whole(tmp_path: Path) -> None:
    path = tmp_path / "1.spool"
    path.write_bytes(b"x" * 50 + b"\nnext\n")
    assert reader.read(path, offset=0, most_bytes=10).lines == (b"x" * 50, b"next")


def test_sizes__segment_removed_meanwhile__is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "1.spool").write_bytes(b"abc")
    monkeypatch.setattr(reader, "segments", lambda folder: [tmp_path / "1.spool", tmp_path / "2.spool"])
    assert list(reader.sizes(tmp_path)) == [3]
