"""Ways to reach people, each a small plug-in: it gets a finished message and says what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class Fate(StrEnum):
    """What became of a message that was handed over."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    """For good: the recipient or the message is refused."""
    TEMPORARY = "temporary"
    """Refused for now; certainly not delivered."""
    DOWN = "down"
    """The provider does not answer; certainly not delivered."""
    UNKNOWN = "unknown"
    """The connection broke in the middle: nobody can say whether it went."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A fate with the provider's words."""

    fate: Fate
    code: str = ""
    """The provider's status (`550`), empty where there is none."""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Mail:
    """One finished e-mail."""

    sender: str
    recipient: str
    subject: str
    text: str
    html: str
    message_id: str
    """With the angle brackets."""
    reply_to: str = ""
    return_path: str = ""
    """Where bounces go, the envelope's sender; empty: `sender`."""
    key: str = ""
    """What identifies the message to a provider that reports on it."""
    headers: Mapping[str, str] = field(default_factory=dict)


class Channel(Protocol):
    """One connection to a provider; it is used by one thread at a time and closed at the end."""

    def send(self, mail: Mail) -> Outcome: ...

    def close(self) -> None: ...
