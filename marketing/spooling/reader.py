"""Reading the spool: whole lines from an offset, and which segments may be removed."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from marketing.spooling.writer import SEGMENT_SUFFIX

LONGEST_LINE: Final = 4 * 1024 * 1024  # bytes; collect refuses bodies far below this


@dataclass(frozen=True, slots=True)
class Chunk:
    """Whole lines of a segment; `end` is the offset behind the last of them, in bytes."""

    lines: tuple[bytes, ...]
    end: int


def segments(folder: Path) -> list[Path]:
    """Return the segments, oldest first (the name starts with the time of its making)."""
    return sorted(folder.glob(f"*{SEGMENT_SUFFIX}"))


def read(path: Path, *, offset: int, most_bytes: int) -> Chunk:
    """Return whole lines from `offset` on, about `most_bytes` of them but at least one if there is one.

    A tail without a newline was never acknowledged and is left where it is.
    """
    with path.open("rb") as stream:
        stream.seek(offset)
        data = stream.read(most_bytes)
        if data and b"\n" not in data:
            data += stream.read(LONGEST_LINE)
    end = data.rfind(b"\n") + 1
    return Chunk(lines=tuple(data[:end].split(b"\n")[:-1]), end=offset + end)


def is_orphaned(path: Path) -> bool:
    """Tell whether no process writes to the segment any more: its lock is free."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def sizes(folder: Path) -> Iterator[int]:
    """Yield the size in bytes of each segment."""
    for path in segments(folder):
        try:
            yield path.stat().st_size
        except FileNotFoundError:  # the drainer has just removed it
            continue
