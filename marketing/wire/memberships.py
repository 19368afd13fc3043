"""Who is in which segment, in a file that every server process maps into memory: deciding needs no database for it.

The file holds only hashes of identities: one sorted column of them, one of segments' numbers, a pair per membership.
While somebody asks, one process of the host writes it anew every few seconds if anything changed.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import mmap
import os
import threading
import time
from bisect import bisect_left
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from django.db import DatabaseError, connection

from experiments.selectors import segments_in_rules
from marketing.choices import IdentityKind
from marketing.selectors.memberships import identities_in, membership_version

FRESH_FOR: Final = 15.0  # seconds; with the time to write it, what is served is younger than 30 s
SCHEMA: Final = 1
HEADER: Final = 65_536  # bytes: the segments' names; the columns begin at a multiple of 8
KINDS: Final = {"user_id": IdentityKind.USER_ID, "anonymous": IdentityKind.ANONYMOUS}
log = logging.getLogger(__name__)


def hash_of(kind: str, value: str) -> int:
    """Return the 64 bits by which an identity is found; two of ten million people share them once in 370,000 files."""
    digest = hashlib.blake2b(f"{kind}:{value}".encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


class Memberships:
    """The mapped file, and its renewal."""

    def __init__(self, file: Path, *, in_background: bool = True) -> None:
        self._file = file
        self._in_background = in_background
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._stamp: tuple[int, int] | None = None
        # One reference, so that no thread reads the columns of two files. Names, hashes, numbers.
        self._columns: tuple[Sequence[str], Sequence[int], Sequence[int]] = ((), (), ())

    def of(self, unit_type: str, unit_id: str) -> list[str]:
        """Return the segments, of those that rules name, which the unit is in."""
        if time.monotonic() - self._looked_at > FRESH_FOR:
            self._freshen()
        slugs, hashes, numbers = self._columns
        kind = KINDS.get(unit_type)
        if kind is None or not hashes:
            return []
        wanted = hash_of(kind, unit_id)
        at, found = bisect_left(hashes, wanted), []
        while at < len(hashes) and hashes[at] == wanted:
            found.append(slugs[numbers[at]])
            at += 1
        return found

    def _freshen(self) -> None:
        if not self._lock.acquire(blocking=False):
            return
        first = self._looked_at == float("-inf")
        self._looked_at = time.monotonic()
        if first:
            self._map()  # what another process wrote, or what there was before the database went
        if self._in_background and not (first and self._stamp is None):
            threading.Thread(target=self._renew, args=[True], name="memberships", daemon=True).start()
        else:
            self._renew(is_own_thread=False)

    def _renew(self, is_own_thread: bool) -> None:
        try:
            write(self._file, segments_in_rules())
        except (DatabaseError, OSError):
            log.warning("memberships could not be read; the last known ones stay in force")
        finally:
            self._map()
            if is_own_thread:
                connection.close()
            self._lock.release()

    def _map(self) -> None:
        try:
            with self._file.open("rb") as stream:
                about = os.fstat(stream.fileno())
                stamp = (about.st_ino, about.st_mtime_ns)
                if stamp == self._stamp:
                    return
                mapped = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
            header = json.loads(bytes(mapped[:HEADER]))
        except (OSError, ValueError):
            return
        if header.get("schema") != SCHEMA:
            return
        middle, end = HEADER + 8 * header["n"], HEADER + 10 * header["n"]
        self._columns = (header["slugs"], mapped[HEADER:middle].cast("Q"), mapped[middle:end].cast("H"))
        self._stamp = stamp


def write(file: Path, slugs: Collection[str]) -> bool:
    """Write the memberships of these segments if anything has changed; return whether this process did."""
    with file.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False  # another process is at it
        version = [sorted(slugs), *membership_version()]
        if _version_of(file) == version:
            return False
        _write(file, sorted(slugs), version)
    return True


def _version_of(file: Path) -> object:
    try:
        with file.open("rb") as stream:
            return json.loads(stream.read(HEADER)).get("version")
    except (OSError, ValueError):
        return None


def _write(file: Path, slugs: Sequence[str], version: Sequence[object]) -> None:
    import numpy as np  # noqa: PLC0415 - only where a rule names a segment

    places = {slug: place for place, slug in enumerate(slugs)}
    pairs = np.fromiter(
        ((hash_of(kind, value), places[slug]) for kind, value, slug in identities_in(slugs=slugs)),
        dtype=[("hash", "<u8"), ("number", "<u2")],
    )
    pairs.sort(order=["hash", "number"])
    header = json.dumps({"schema": SCHEMA, "slugs": slugs, "n": len(pairs), "version": version}).encode()
    if len(header) > HEADER:
        raise OSError(f"the names of {len(slugs)} segments are longer than {HEADER} bytes")
    draft = file.with_suffix(f".{os.getpid()}")
    draft.touch(mode=0o600)
    with draft.open("wb") as stream:
        stream.write(header.ljust(HEADER))
        stream.write(np.ascontiguousarray(pairs["hash"]).tobytes())
        stream.write(np.ascontiguousarray(pairs["number"]).tobytes())
    draft.replace(file)
