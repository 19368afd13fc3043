"""What a request was signed in with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KeyInUse:
    """The API key of a request (`request.auth`); a person with a session has none."""

    id: int
    may_write: bool
    rate_limit: int | None
