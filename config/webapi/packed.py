"""Bodies that come packed: unpacked within a bound, so that a small one cannot fill the memory."""

from __future__ import annotations

import zlib
from typing import Final

ENCODINGS: Final = frozenset(("gzip", "deflate"))
_GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS


class NotPacked(ValueError):
    """The body is not what its `Content-Encoding` says; the text says how."""


def is_packed(encoding: str) -> bool:
    """Whether a `Content-Encoding` is one that is read here."""
    return encoding.strip().lower() in ENCODINGS


def unpacked(raw: bytes, *, most_bytes: int) -> bytes:
    """Return what a gzip or zlib body holds, at most `most_bytes` + 1 of it; `NotPacked` for garbage and for half."""
    inflater = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        text = inflater.decompress(raw, most_bytes + 1)
    except zlib.error:
        raise NotPacked("the body is not gzip") from None
    if len(text) <= most_bytes and not inflater.eof:
        raise NotPacked("the gzip body is cut short")
    return text
