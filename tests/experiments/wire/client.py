"""Asks the decide application without a server: environ in, status, headers and decoded answer out."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from experiments.errors import GateClosed
from experiments.wire.decide import Decide

KEY = "hk_client"


class OpenGate:
    """Admits `KEY` and remembers what was reported."""

    def __init__(self) -> None:
        self.reported: list[Mapping[str, Any]] = []
        self.members: dict[tuple[str, str], Sequence[str]] = {}

    def admit(self, key: str) -> None:
        if key != KEY:
            raise GateClosed("unknown key")

    def segments(self, unit_type: str, unit_id: str) -> Sequence[str]:
        return self.members.get((unit_type, unit_id), ())

    def report(self, key: str, messages: Sequence[Mapping[str, Any]]) -> None:
        self.admit(key)
        self.reported += messages


class Seen(NamedTuple):
    status: int
    headers: dict[str, str]
    body: Any


def ask(decide: Decide, path: str, body: Any = None, *, method: str = "POST", key: str = KEY, **environ: str) -> Seen:
    """Send one request; bytes go as they are, anything else as JSON."""
    raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    seen: dict[str, Any] = {}

    def start_response(status: str, headers: list[tuple[str, str]]) -> None:
        seen["status"], seen["headers"] = int(status.split(maxsplit=1)[0]), dict(headers)

    path, _, query = path.partition("?")
    base = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "CONTENT_LENGTH": str(len(raw)),
        "HTTP_AUTHORIZATION": f"Bearer {key}",
        "wsgi.input": io.BytesIO(raw),
    }
    answer = b"".join(decide(base | environ, start_response))
    return Seen(seen["status"], seen["headers"], json.loads(answer) if answer else None)


def ask_flag(decide: Decide, flag: str, **context: Any) -> Seen:
    """Ask OFREP for one flag; the unit has consented unless `consent` says otherwise."""
    return ask(decide, f"/ofrep/v1/evaluate/flags/{flag}", {"context": {"consent": True, **context}})
