"""Keys in memory, read again every few seconds; an unreachable database leaves the last known ones in force."""

from __future__ import annotations

import hashlib
import logging
import math
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from django.db import DatabaseError, connection

from marketing.choices import KeyScope
from marketing.models import WriteKey

FRESH_FOR: Final = 5.0  # seconds until a revoked key is refused everywhere
NOTED_EVERY: Final = 60.0  # seconds between writing down which keys are in use
SECONDS: Final = 60.0  # the unit of a key's rate limit
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Key:
    """A key in force. `rate_limit` is in requests a minute, to this process."""

    id: int
    source_id: int
    scopes: frozenset[str]
    rate_limit: int | None


class _Allowance:
    """A token bucket: a minute's worth at once at most, refilled all the time."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.left = float(limit)
        self.at = time.monotonic()

    def wait(self) -> int:
        """Take one request; return 0, or the seconds until there is one again."""
        now = time.monotonic()
        self.left = min(float(self.limit), self.left + (now - self.at) * self.limit / SECONDS)
        self.at = now
        if self.left >= 1.0:
            self.left -= 1.0
            return 0
        return math.ceil((1.0 - self.left) * SECONDS / max(self.limit, 1))


class WriteKeys:
    """Maps a secret to the key in force."""

    def __init__(self) -> None:
        self._keys: dict[str, Key] = {}
        self._allowances: dict[int, _Allowance] = {}
        self._used: set[int] = set()
        self._read_at = float("-inf")
        self._noted_at = time.monotonic()
        self._lock = threading.Lock()

    def find(self, secret: str, scope: KeyScope) -> Key | None:
        """Return the key if it is in force and has the scope."""
        if time.monotonic() - self._read_at > FRESH_FOR:
            self._refresh()
        key = self._keys.get(hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest())
        if key is None or scope not in key.scopes:
            return None
        self._used.add(key.id)
        return key

    def wait(self, key: Key) -> int:
        """Count one request of the key; return 0, or for how many seconds it has to wait."""
        if key.rate_limit is None:
            return 0
        allowance = self._allowances.get(key.id)
        if allowance is None or allowance.limit != key.rate_limit:
            allowance = self._allowances[key.id] = _Allowance(key.rate_limit)
        return allowance.wait()

    def _refresh(self) -> None:
        if not self._lock.acquire(blocking=not self._keys):
            return  # another thread is reading; the last known keys are good enough meanwhile
        try:
            if time.monotonic() - self._read_at <= FRESH_FOR:
                return
            rows = WriteKey.objects.filter(revoked_at=None, source__archived_at=None)
            self._keys = {row.sha256: Key(row.pk, row.source_id, frozenset(row.scopes), row.rate_limit) for row in rows}
            self._note_use()
        except DatabaseError:
            log.warning("write keys could not be read; the last known ones stay in force")
        finally:
            self._read_at = time.monotonic()
            if not connection.in_atomic_block:  # nobody else tidies up: no Django request ends here
                connection.close_if_unusable_or_obsolete()
            self._lock.release()

    def _note_use(self) -> None:
        if self._used and time.monotonic() - self._noted_at > NOTED_EVERY:
            used, self._used = self._used, set()
            self._noted_at = time.monotonic()
            WriteKey.objects.filter(pk__in=used).update(last_used_at=datetime.now(UTC))
