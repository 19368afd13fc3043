"""`/v1/batch` and its single forms: Segment-format messages, on disk before the 200 (docs/clients.md)."""

from __future__ import annotations

import base64
import binascii
import codecs
import functools
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson
import uuid_utils
from django.conf import settings

from config.webapi.packed import NotPacked, is_packed, unpacked
from experiments.ports import opts_out
from marketing.choices import KeyScope
from marketing.errors import KeysUnknown
from marketing.spooling import reader
from marketing.spooling.writer import SpoolFull, SpoolWriter
from marketing.wire.keys import WriteKeys

StartResponse = Callable[[str, list[tuple[str, str]]], Any]
Environ = dict[str, Any]

# Path → the type of its messages; "" where each message names its own.
ENDPOINTS: Final[dict[str, str]] = {
    f"/v1/{path}": kind
    for kind, paths in {
        "": ("batch", "import", "b", "b/batch"),
        "track": ("track", "t"),
        "identify": ("identify", "i"),
        "page": ("page", "p"),
        "screen": ("screen", "s"),
        "group": ("group", "g"),
        "alias": ("alias", "a"),
    }.items()
    for path in paths
} | {"/beacon/v1/batch": ""}  # RudderStack's browser SDK, with the key in the query
MOST_BYTES: Final = 1_048_576  # a body, packed and unpacked; clients send at most 500 KB
MOST_MESSAGES: Final = 2_500
MOST_BACKLOG: Final = 2 * 1024**3  # bytes in the spool beyond which clients are asked to wait
BACKLOG_CHECK: Final = 1.0  # seconds between looks at the spool's size
RETRY_AFTER: Final = "30"
KEYS_FILE: Final = "keys.json"
ONE_LINE: Final = bytes.maketrans(b"\r\n", b"  ")
CORS: Final = [
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Allow-Methods", "POST, OPTIONS"),
    # RudderStack sends headers of its own and adds to them; the star covers all but Authorization.
    ("Access-Control-Allow-Headers", "authorization, content-type, content-encoding, *"),
    ("Access-Control-Expose-Headers", "retry-after"),
    ("Access-Control-Max-Age", "86400"),
]


class Refused(Exception):
    """The request is answered with `status` and a reason; nothing was stored."""

    def __init__(self, status: str, reason: str, headers: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = list(headers)


@dataclass
class Collector:
    """What one process needs to take messages in."""

    folder: Path
    writer: SpoolWriter
    keys: WriteKeys
    backlog: int = 0
    backlog_at: float = float("-inf")

    def is_full(self) -> bool:
        """Tell whether the spool holds so much that clients should wait."""
        now = time.monotonic()
        if now - self.backlog_at > BACKLOG_CHECK:
            self.backlog_at = now
            self.backlog = sum(reader.sizes(self.folder))
        return self.backlog > MOST_BACKLOG


@functools.cache
def collector() -> Collector:
    """Return this process's collector."""
    folder = Path(settings.DATA_DIR) / "spool"
    keys = WriteKeys(Path(settings.DATA_DIR) / KEYS_FILE, in_background=True)
    return Collector(folder=folder, writer=SpoolWriter(folder), keys=keys)


def collect(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Answer one request as a WSGI application."""
    try:
        status, headers, body = _answer(environ)
    except Refused as refused:
        status, headers = refused.status, refused.headers
        body = json.dumps({"success": False, "message": str(refused)}).encode()
    start_response(status, [*headers, *CORS, ("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def _answer(environ: Environ) -> tuple[str, list[tuple[str, str]], bytes]:
    method = environ["REQUEST_METHOD"]
    if method == "OPTIONS":
        return "204 No Content", [], b""
    if method != "POST":
        raise Refused("405 Method Not Allowed", "send messages with POST", [("Allow", "POST, OPTIONS")])
    here = collector()
    raw = _body(environ)
    payload = _parsed(raw)
    kind = ENDPOINTS[environ["PATH_INFO"]]
    n = _messages_in(payload, kind)
    try:
        key = here.keys.find(_secret(environ, payload), KeyScope.WRITE)
    except KeysUnknown as error:
        raise Refused("503 Service Unavailable", str(error), [("Retry-After", RETRY_AFTER)]) from error
    if key is None:
        raise Refused("401 Unauthorized", "unknown write key")
    if here.is_full():
        raise Refused("429 Too Many Requests", "the backlog is full, send again later", [("Retry-After", RETRY_AFTER)])
    wait = here.keys.wait(key, n)
    if wait:
        raise Refused(
            "429 Too Many Requests", "this key's rate limit or quota is used up", [("Retry-After", str(wait))]
        )
    if opts_out(
        gpc=environ.get("HTTP_SEC_GPC", ""), dnt=environ.get("HTTP_DNT", ""), honors_dnt=settings.HONOR_DO_NOT_TRACK
    ):
        return "200 OK", [], b'{"success":true}'  # a browser that asks for privacy: taken, and not kept
    try:
        here.writer.write(spool_line(source=key.source_id, kind=kind, body=raw))
    except SpoolFull as error:
        raise Refused("503 Service Unavailable", "nothing was stored", [("Retry-After", RETRY_AFTER)]) from error
    return "200 OK", [], b'{"success":true}'


def _body(environ: Environ) -> bytes:
    try:
        length = int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        raise Refused("400 Bad Request", "Content-Length is not a number") from None
    if length > MOST_BYTES:
        raise Refused("413 Content Too Large", f"a body may have {MOST_BYTES} bytes")
    raw: bytes = environ["wsgi.input"].read(length if length > 0 else MOST_BYTES + 1)
    if is_packed(environ.get("HTTP_CONTENT_ENCODING", "")):
        try:
            raw = unpacked(raw, most_bytes=MOST_BYTES)
        except NotPacked as error:
            raise Refused("400 Bad Request", str(error)) from None
    if len(raw) > MOST_BYTES:
        raise Refused("413 Content Too Large", f"a body may have {MOST_BYTES} bytes")
    return raw.removeprefix(codecs.BOM_UTF8)


def _parsed(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except ValueError:
        return _parsed_leniently(raw)


def _parsed_leniently(raw: bytes) -> Any:
    """Decode what orjson refuses and clients do send (NaN, 1e400, half an emoji): one message must not cost a batch."""
    try:
        return json.loads(raw.decode())
    except UnicodeDecodeError:
        raise Refused("400 Bad Request", "the body is not UTF-8") from None
    except (ValueError, RecursionError):
        raise Refused("400 Bad Request", "the body is not JSON") from None


def _messages_in(payload: Any, kind: str) -> int:
    """Return how many messages the body holds; refuse a body of another shape."""
    if not isinstance(payload, dict):
        raise Refused("400 Bad Request", "the body must be a JSON object")
    if kind:
        return 1
    batch = payload.get("batch")
    if not isinstance(batch, list):
        raise Refused("400 Bad Request", "batch must be a list of messages")
    if len(batch) > MOST_MESSAGES:
        raise Refused("413 Content Too Large", f"a batch may have {MOST_MESSAGES} messages")
    return len(batch)


def _secret(environ: Environ, payload: dict[str, Any]) -> str:
    scheme, _, given = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(given, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            raise Refused("401 Unauthorized", "the Authorization header is not Basic auth") from None
    key = payload.get("writeKey") or dict(parse_qsl(environ.get("QUERY_STRING", ""))).get("writeKey")
    return key if isinstance(key, str) and key.isascii() else ""


def spool_line(*, source: int, kind: str, body: bytes) -> bytes:
    """Return a line of the spool: the body as it came (a raw line break in JSON is only white space) in an envelope."""
    envelope = f'{{"id":"{uuid_utils.uuid7()}","at":{time.time_ns() // 1000},"source":{source},"kind":"{kind}","body":'
    return b"%s%s}\n" % (envelope.encode(), body.translate(ONE_LINE))
