"""The gate of `experiments.wire`: keys of sources open it, and what clients report joins the events in the spool."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from django.conf import settings

from experiments.errors import GateClosed, TooManyRequests
from marketing.choices import KeyScope
from marketing.errors import KeysUnknown
from marketing.wire.collect import collector, spool_line
from marketing.wire.keys import Key
from marketing.wire.memberships import Memberships

FULL_FOR: Final = 30  # seconds that clients are asked to wait when the spool is full


@functools.cache
def memberships() -> Memberships:
    """Return this process's view of the memberships."""
    return Memberships(Path(settings.DATA_DIR) / "memberships.bin")


class ClientGate:
    """Implements `experiments.ports.Gate`."""

    def admit(self, key: str) -> None:
        self._open(key, KeyScope.DECIDE)

    def segments(self, unit_type: str, unit_id: str) -> Sequence[str]:
        return memberships().of(unit_type, unit_id)

    def report(self, key: str, messages: Sequence[Mapping[str, Any]]) -> None:
        source = self._open(key, KeyScope.WRITE, n=len(messages)).source_id
        here = collector()
        if here.is_full():
            raise TooManyRequests(FULL_FOR)
        if messages:
            here.writer.write(spool_line(source=source, kind="", body=json.dumps({"batch": messages}).encode()))

    def _open(self, secret: str, scope: KeyScope, n: int = 1) -> Key:
        keys = collector().keys
        try:
            key = keys.find(secret, scope)
        except KeysUnknown as error:
            raise OSError(str(error)) from error
        if key is None:
            raise GateClosed(f"The key is unknown, or it lacks the scope {scope.value}.")
        wait = keys.wait(key, n)
        if wait:
            raise TooManyRequests(wait)
        return key
