"""The little of HTTP that the wires need: a bounded JSON body in, an answer with CORS headers out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson

from config.webapi.packed import NotPacked, is_packed, unpacked

StartResponse = Callable[[str, list[tuple[str, str]]], Any]
Environ = dict[str, Any]

MOST_BYTES: Final = 65_536
"""Of one request: a context is a few hundred bytes, a page's worth of tracked events a few thousand."""
RETRY_AFTER: Final = "30"
WITHOUT_BODY: Final = ("204", "304")
JSON_TYPE: Final = ("Content-Type", "application/json")
CORS: Final = (
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Expose-Headers", "etag, retry-after"),
)
PREFLIGHT: Final = (
    ("Access-Control-Allow-Methods", "GET, POST, OPTIONS"),
    (
        "Access-Control-Allow-Headers",
        "authorization, content-encoding, content-type, if-none-match, x-api-key, x-holdout-force",
    ),
    ("Access-Control-Max-Age", "86400"),
)

encode: Final = json.JSONEncoder(separators=(",", ":")).encode


class Answer:
    """A status line, a body, and all headers: those that every answer has, and `headers`.

    Nobody changes one: what is asked for again and again is made once and sent many times.
    """

    __slots__ = ("body", "chunks", "headers", "status")

    def __init__(self, status: str, body: bytes, headers: Sequence[tuple[str, str]] = ()) -> None:
        self.status = status
        self.body = body
        self.chunks = [body]
        self.headers = [*CORS, *headers]
        if status[:3] not in WITHOUT_BODY:
            self.headers += [JSON_TYPE, ("Content-Length", str(len(body)))]


class Refused(Exception):
    """The request cannot be answered; `code` is the protocol's word for why."""

    def __init__(self, status: str, code: str, details: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(details)
        self.status = status
        self.code = code
        self.headers = headers


def send(answer: Answer, start_response: StartResponse) -> list[bytes]:
    """Hand an answer to the server."""
    start_response(answer.status, answer.headers)
    return answer.chunks


def json_body(environ: Environ, *, most_bytes: int = MOST_BYTES) -> Any:
    """Return the decoded body, unpacked where it is gzip; `most_bytes` bounds both forms.

    The Content-Type is not looked at, browsers send text/plain to avoid a preflight.
    """
    try:
        length = int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        raise Refused("400 Bad Request", "PARSE_ERROR", "Content-Length is not a number") from None
    if length > most_bytes:
        raise Refused("413 Content Too Large", "GENERAL", f"a body may have {most_bytes} bytes")
    raw: bytes = environ["wsgi.input"].read(length if length > 0 else most_bytes + 1)
    if "HTTP_CONTENT_ENCODING" in environ and is_packed(environ["HTTP_CONTENT_ENCODING"]):
        try:
            raw = unpacked(raw, most_bytes=most_bytes)
        except NotPacked as error:
            raise Refused("400 Bad Request", "PARSE_ERROR", str(error)) from None
    if len(raw) > most_bytes:
        raise Refused("413 Content Too Large", "GENERAL", f"a body may have {most_bytes} bytes")
    try:
        return orjson.loads(raw)
    except ValueError:
        return _decoded_leniently(raw)


def _decoded_leniently(raw: bytes) -> Any:
    """Decode what orjson is too strict for and clients do send: NaN, 1e400, half an emoji in an attribute."""
    try:
        return json.loads(raw.decode())
    except (ValueError, RecursionError):
        raise Refused("400 Bad Request", "PARSE_ERROR", "the body is not JSON") from None


def bearer_key(environ: Environ) -> str:
    """Return the key of a request's headers: `Authorization: Bearer …` or `X-API-Key`; empty if there is none."""
    header: str = environ.get("HTTP_AUTHORIZATION", "")
    if header[:7].lower() == "bearer ":
        return header[7:].strip()
    return str(environ.get("HTTP_X_API_KEY", ""))


def is_known(environ: Environ, etag: str) -> bool:
    """Whether the client already holds the representation with this ETag."""
    given = environ.get("HTTP_IF_NONE_MATCH", "")
    return bool(given) and any(known.strip().removeprefix("W/") == etag for known in given.split(","))
