"""Write keys in memory, read again every few seconds; an unreachable database leaves the last known ones in force."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from typing import Final

from django.db import DatabaseError, connection

from marketing.models import WriteKey

FRESH_FOR: Final = 5.0  # seconds until a revoked key is refused everywhere
log = logging.getLogger(__name__)


class WriteKeys:
    """Maps a secret to the id of its source."""

    def __init__(self) -> None:
        self._sources: dict[str, int] = {}
        self._read_at = float("-inf")
        self._lock = threading.Lock()

    def source_of(self, secret: str) -> int | None:
        """Return the id of the source that owns the key, or None for an unknown or revoked one."""
        if time.monotonic() - self._read_at > FRESH_FOR:
            self._refresh()
        return self._sources.get(hashlib.sha256(secret.encode()).hexdigest())

    def _refresh(self) -> None:
        if not self._lock.acquire(blocking=not self._sources):
            return  # another thread is reading; the last known keys are good enough meanwhile
        try:
            if time.monotonic() - self._read_at <= FRESH_FOR:
                return
            rows = WriteKey.objects.filter(revoked_at=None, source__archived_at=None)
            self._sources = dict(rows.values_list("sha256", "source_id"))
        except DatabaseError:
            log.warning("write keys could not be read; the last known ones stay in force")
        finally:
            self._read_at = time.monotonic()
            if not connection.in_atomic_block:  # nobody else tidies up: no Django request ends here
                connection.close_if_unusable_or_obsolete()
            self._lock.release()
