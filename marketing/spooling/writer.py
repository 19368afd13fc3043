"""Appending to the spool: one line per batch, on disk before the caller goes on."""

from __future__ import annotations

import fcntl
import os
import socket
import threading
import time
import uuid
from pathlib import Path
from typing import Final

SEGMENT_SUFFIX: Final = ".spool"
MOST_BYTES: Final = 64 * 1024 * 1024  # a segment of this size takes seconds to drain
MOST_SECONDS: Final = 60.0  # an idle writer gives its segment up to removal after this


class SpoolFull(OSError):
    """The line could not be written as a whole; nothing of it counts."""


class _Segment:
    """One file: lines appended by this process only, locked while it may grow."""

    def __init__(self, folder: Path) -> None:
        name = f"{time.time_ns():020d}-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}{SEGMENT_SUFFIX}"
        self.path = folder / name
        self.descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)
        self.opened = time.monotonic()
        self.size = 0
        self.synced = 0
        _sync_folder(folder)

    def is_due(self) -> bool:
        return self.size >= MOST_BYTES or time.monotonic() - self.opened > MOST_SECONDS

    def append(self, line: bytes) -> int:
        """Write `line` with one call; return the size after it, or cut a torn tail off and raise."""
        try:
            written = os.write(self.descriptor, line)
        except OSError as error:
            raise SpoolFull(error.errno, error.strerror) from error
        if written != len(line):
            os.ftruncate(self.descriptor, self.size)
            raise SpoolFull(28, "short write")
        self.size += written
        return self.size

    def sync(self) -> None:
        size = self.size
        os.fdatasync(self.descriptor)
        self.synced = size

    def close(self) -> None:
        os.close(self.descriptor)


def _sync_folder(folder: Path) -> None:
    """Make a new file's name survive a power cut, too."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class SpoolWriter:
    """This process's end of the spool, safe for threads.

    Group commit: the first thread that needs its line on disk syncs for all that were appended before the call; the
    others find their size covered and go on.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._append_lock = threading.Lock()
        self._sync_lock = threading.Lock()
        self._segment: _Segment | None = None

    def write(self, line: bytes) -> None:
        """Append `line` (with its newline) and return once it is on disk; raise `SpoolFull` otherwise."""
        with self._append_lock:
            segment = self._current()
            end = segment.append(line)
        self._make_durable(segment, end)

    def _current(self) -> _Segment:
        if self._segment is None or self._segment.is_due():
            self.close()
            try:
                self._segment = _Segment(self._folder)
            except OSError as error:
                raise SpoolFull(error.errno, error.strerror) from error
        return self._segment

    def _make_durable(self, segment: _Segment, end: int) -> None:
        if segment.synced >= end:
            return
        with self._sync_lock:
            if segment.synced >= end:
                return
            try:
                segment.sync()
            except OSError as error:
                raise SpoolFull(error.errno, error.strerror) from error

    def close(self) -> None:
        """Give the segment up; whoever waits for its sync is served first."""
        segment, self._segment = self._segment, None
        if segment is not None:
            with self._sync_lock:
                segment.sync()
                segment.close()
