"""Keys in memory, read again every few seconds; an unreachable database leaves the last known ones in force.

What is known is also kept in a file, so that a process that starts while the database is down knows it, too. Only
hashes of secrets are in it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from django.db import DatabaseError, connection
from django.db.models import F

from marketing.choices import KeyScope
from marketing.errors import KeysUnknown
from marketing.models import KeyUsage, WriteKey

FRESH_FOR: Final = 5.0  # seconds until a revoked key is refused everywhere
NOTED_EVERY: Final = 60.0  # seconds between writing down which keys are in use
MINUTE: Final = 60.0  # seconds, the unit of a key's rate limit
DAY: Final = 86_400  # seconds, the unit of a key's quota
LONGEST_WAIT: Final = 3_600  # seconds; a quota may be raised before the day is over
SCHEMA: Final = 1  # of the file
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Key:
    """A key in force. `rate_limit` is in requests a minute to this process, `quota` in messages a day to all."""

    id: int
    source_id: int
    scopes: frozenset[str]
    rate_limit: int | None
    quota: int | None = None
    expires_at: float | None = None  # seconds since 1970


class _Allowance:
    """A token bucket: a minute's worth at once at most, refilled all the time."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.left = float(limit)
        self.at = time.monotonic()

    def wait(self) -> int:
        """Take one request; return 0, or the seconds until there is one again."""
        now = time.monotonic()
        self.left = min(float(self.limit), self.left + (now - self.at) * self.limit / MINUTE)
        self.at = now
        if self.left >= 1.0:
            self.left -= 1.0
            return 0
        return math.ceil((1.0 - self.left) * MINUTE / max(self.limit, 1))


class _Usage:
    """How much each key has used today: what the database said last, and what this process has added since."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._day = 0
        self._stored: dict[int, int] = {}
        self._added: dict[int, int] = {}

    def take(self, key: Key, n: int) -> int:
        """Count `n` messages; return 0, or the seconds until there is quota again (nothing is counted then)."""
        now = time.time()
        with self._lock:
            if now // DAY != self._day:
                self._day, self._stored, self._added = int(now // DAY), {}, {}
            added = self._added.get(key.id, 0) + n
            if key.quota is not None and self._stored.get(key.id, 0) + added > key.quota:
                return max(1, min(LONGEST_WAIT, math.ceil(DAY - now % DAY)))
            self._added[key.id] = added
        return 0

    def store(self) -> None:
        """Add to the database's counts, and read what all processes together have used today."""
        with self._lock:
            day, added, self._added = self._day, self._added, {}
            for key_id, n in added.items():
                self._stored[key_id] = self._stored.get(key_id, 0) + n
        date = (datetime.fromtimestamp(day * DAY, UTC)).date()
        try:
            for key_id, n in sorted(added.items()):
                KeyUsage.objects.get_or_create(key_id=key_id, day=date)
                KeyUsage.objects.filter(key_id=key_id, day=date).update(n=F("n") + n)
                added[key_id] = 0
            stored = dict(KeyUsage.objects.filter(day=date, key__quota__isnull=False).values_list("key_id", "n"))
        except DatabaseError:
            with self._lock:
                if self._day == day:
                    for key_id, n in added.items():
                        self._added[key_id] = self._added.get(key_id, 0) + n
                        self._stored[key_id] -= n
            raise
        with self._lock:
            if self._day == day:
                self._stored = stored


class WriteKeys:
    """Maps a secret to the key in force; `file` is where they are kept for a start without the database.

    `in_background`: once keys are known no request waits for the database, which may be busy, or be gone silently.
    """

    def __init__(self, file: Path | None = None, *, in_background: bool = False) -> None:
        self._file = file
        self._in_background = in_background
        self._is_known = False
        self._keys: dict[str, Key] = {}
        self._by_secret: dict[str, Key] = {}
        self._allowances: dict[int, _Allowance] = {}
        self._usage = _Usage()
        self._used: set[int] = set()
        self._read_at = float("-inf")
        self._noted_at = time.monotonic()
        self._lock = threading.Lock()

    def find(self, secret: str, scope: KeyScope) -> Key | None:
        """Return the key if it is in force and has the scope; `KeysUnknown` if no key was ever read."""
        if time.monotonic() - self._read_at > FRESH_FOR:
            self._freshen()
        key = self._by_secret.get(secret)
        if key is None:
            if not self._is_known:
                raise KeysUnknown("The keys could not be read yet.")
            key = self._keys.get(hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest())
            if key is None:
                return None
            self._by_secret[secret] = key
        if scope not in key.scopes:
            return None
        self._used.add(key.id)
        return key

    def wait(self, key: Key, n: int = 1) -> int:
        """Count a request of the key with `n` messages; return 0, or for how many seconds it has to wait."""
        if key.rate_limit is not None:
            allowance = self._allowances.get(key.id)
            if allowance is None or allowance.limit != key.rate_limit:
                allowance = self._allowances[key.id] = _Allowance(key.rate_limit)
            wait = allowance.wait()
            if wait:
                return wait
        return self._usage.take(key, n)

    def _freshen(self) -> None:
        if not self._in_background or not self._is_known:
            self._refresh()
        elif not self._lock.locked():
            threading.Thread(target=self._refresh, args=[True], name="keys", daemon=True).start()

    def _refresh(self, is_own_thread: bool = False) -> None:
        if not self._lock.acquire(blocking=not self._is_known):
            return  # another thread is reading; the last known keys are good enough meanwhile
        try:
            if time.monotonic() - self._read_at <= FRESH_FOR:
                return
            self._read()
            self._note_use()
        except DatabaseError:
            log.warning("write keys could not be read; the last known ones stay in force")
            if not self._is_known:
                self._load()
        finally:
            self._drop_expired()
            self._read_at = time.monotonic()
            if is_own_thread:
                connection.close()
            elif not connection.in_atomic_block:  # nobody else tidies up: no Django request ends here
                connection.close_if_unusable_or_obsolete()
            self._lock.release()

    def _read(self) -> None:
        rows = WriteKey.objects.filter(revoked_at=None, source__archived_at=None)
        keys = {row.sha256: _key(row) for row in rows}
        if keys != self._keys or not self._is_known:
            self._keys, self._by_secret, self._is_known = keys, {}, True
            self._save()

    def _drop_expired(self) -> None:
        now = time.time()
        if any(key.expires_at is not None and key.expires_at <= now for key in self._keys.values()):
            self._keys = {
                sha256: key for sha256, key in self._keys.items() if key.expires_at is None or key.expires_at > now
            }
            self._by_secret = {}

    def _note_use(self) -> None:
        self._usage.store()
        if self._used and time.monotonic() - self._noted_at > NOTED_EVERY:
            used, self._used = self._used, set()
            self._noted_at = time.monotonic()
            WriteKey.objects.filter(pk__in=used).update(last_used_at=datetime.now(UTC))

    def _save(self) -> None:
        """Keep the keys for a process that starts without the database; without the file all others go on."""
        if self._file is None:
            return
        content = {"schema": SCHEMA, "keys": {sha256: _as_json(key) for sha256, key in self._keys.items()}}
        draft = self._file.with_suffix(f".{os.getpid()}")
        try:
            draft.touch(mode=0o600)
            draft.write_text(json.dumps(content))
            draft.replace(self._file)
        except OSError:
            log.warning("write keys could not be kept in %s", self._file)

    def _load(self) -> None:
        try:
            content = json.loads(self._file.read_bytes()) if self._file is not None else {}
            if content.get("schema") != SCHEMA:
                return
            self._keys = {sha256: _from_json(key) for sha256, key in content["keys"].items()}
        except (OSError, ValueError):
            return
        self._is_known = True


def _key(row: WriteKey) -> Key:
    return Key(
        id=row.pk,
        source_id=row.source_id,
        scopes=frozenset(row.scopes),
        rate_limit=row.rate_limit,
        quota=row.quota,
        expires_at=None if row.expires_at is None else row.expires_at.timestamp(),
    )


def _as_json(key: Key) -> list[Any]:
    return [key.id, key.source_id, sorted(key.scopes), key.rate_limit, key.quota, key.expires_at]


def _from_json(row: list[Any]) -> Key:
    key_id, source_id, scopes, rate_limit, quota, expires_at = row
    return Key(key_id, source_id, frozenset(scopes), rate_limit, quota, expires_at)
