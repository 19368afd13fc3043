"""What comes back by mail: bounces (RFC 3464, RFC 3463), complaints (ARF, RFC 5965) and the older forms of both.

A report is a claim by a stranger. Only one that quotes the Message-ID of a message of ours is believed, and that
carries a keyed digest: see `marketing.services.sending.feedback`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from enum import StrEnum
from typing import Final

from flufl.bounce import all_failures

LARGEST: Final = 1_000_000  # bytes; the rest of a message is not read
ENHANCED: Final = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])")
OURS: Final = re.compile(r"<(\d{1,19}\.[0-9a-f]{24}@[^<>\s]{1,255})>")
ADDRESS: Final = re.compile(r"[^\s;<>,]+@[^\s;<>,]+")
SENDERS_FAULT: Final = re.compile(r"5\.(1\.[78]|2\.3|3\.4|5\.\d+|6\.\d+|7\.\d+)$")
"""Permanent for this message, and no word about the mailbox: a bad sender, too large, the content, the policy.

A blocklist answers `550 5.7.1` to everybody. Suppressing each of them would empty the list in an afternoon.
"""
MAILBOX_FULL: Final = "5.2.2"
COMPLAINTS: Final = frozenset({"abuse", "fraud", "virus", "other"})


class Kind(StrEnum):
    """What a report says of one address."""

    HARD = "hard"
    """The mailbox does not exist."""
    SOFT = "soft"
    """It could not be reached this time."""
    BLOCKED = "blocked"
    """The message was refused for what it is or who sends it."""
    COMPLAINT = "complaint"
    """The recipient called it spam."""
    LEFT = "left"
    """The recipient asked their provider to be taken off the list."""
    DELIVERED = "delivered"
    """The mailbox has it."""


@dataclass(frozen=True, slots=True)
class MailReport:
    """One address and what became of a message to it."""

    kind: Kind
    address: str
    """As the report names it; empty where it is redacted."""
    status: str
    """RFC 3463, `5.1.1`; empty where there is none."""
    message_ids: tuple[str, ...]
    """What looks like the Message-ID of a message of ours, without the angle brackets; not verified."""


def kind_of(*, status: str, code: int = 0) -> Kind:
    """Return what a refusal says: by its enhanced status where there is one, else by SMTP's three digits.

    >>> kind_of(status="5.1.1"), kind_of(status="5.7.1"), kind_of(status="4.2.2")
    (<Kind.HARD: 'hard'>, <Kind.BLOCKED: 'blocked'>, <Kind.SOFT: 'soft'>)
    >>> kind_of(status="", code=550), kind_of(status="", code=554)
    (<Kind.HARD: 'hard'>, <Kind.BLOCKED: 'blocked'>)
    """
    if status.startswith("4.") or status == MAILBOX_FULL or (not status and 400 <= code < 500):
        return Kind.SOFT
    if status:
        return Kind.BLOCKED if SENDERS_FAULT.match(status) else Kind.HARD
    return Kind.HARD if code in (0, 550, 551, 553) else Kind.BLOCKED


def enhanced_status(text: str) -> str:
    """Return the first enhanced status code in a server's words, empty where there is none.

    >>> enhanced_status("550 5.1.1 no such user"), enhanced_status("connection to 10.5.1.1 failed")
    ('5.1.1', '')
    """
    found = ENHANCED.search(text)
    return found[0] if found else ""


def read_report(raw: bytes) -> list[MailReport]:
    """Return what a message reports; nothing for one that reports nothing, as an absence note does."""
    message = message_from_bytes(raw[:LARGEST])
    ids = tuple(dict.fromkeys(OURS.findall(raw[:LARGEST].decode("latin-1")) + list(_decoded_ids(message))))
    kind = str(message.get_param("report-type") or "").lower()
    if kind == "feedback-report":
        return [_complaint(part, ids) for part in _parts(message, "message/feedback-report") if _is_complaint(part)]
    failed = [report for part in _parts(message, "message/delivery-status") for report in _failures(part, ids)]
    return failed or ([] if kind == "delivery-status" else _old_forms(message, ids))


def _parts(message: Message, kind: str) -> Iterator[Message]:
    return (part for part in message.walk() if part.get_content_type() == kind)


def _blocks(part: Message) -> list[Message]:
    """Return the groups of fields of a report's machine-readable part."""
    payload = part.get_payload()
    return [block for block in payload if isinstance(block, Message)] if isinstance(payload, list) else []


def _failures(part: Message, ids: tuple[str, ...]) -> Iterator[MailReport]:
    for block in _blocks(part):
        address = _address(block, "Original-Recipient") or _address(block, "Final-Recipient")
        action = str(block.get("Action", "")).strip().lower()
        if not address or action not in ("failed", "delivered"):  # `delayed` is not the end, `relayed` no delivery
            continue
        status = enhanced_status(str(block.get("Status", "")))
        if action == "delivered":
            yield MailReport(Kind.DELIVERED, address, status, ids)
            continue
        # Many servers say 5.0.0 and put what they mean into the words beside it.
        words = enhanced_status(str(block.get("Diagnostic-Code", "")))
        exact = words if status in ("", "5.0.0", "4.0.0") and words else status
        yield MailReport(kind_of(status=exact), address, exact, ids)


def _address(block: Message, name: str) -> str:
    """Return the address of a field of the form `rfc822; ada@example.org`."""
    found = ADDRESS.search(str(block.get(name, "")).partition(";")[2] or str(block.get(name, "")))
    return found[0].strip("'\"") if found else ""


def _is_complaint(part: Message) -> bool:
    return any(_feedback(block) in COMPLAINTS | {"opt-out"} for block in _blocks(part))


def _feedback(block: Message) -> str:
    return str(block.get("Feedback-Type", "")).strip().lower()


def _complaint(part: Message, ids: tuple[str, ...]) -> MailReport:
    block = _blocks(part)[0]
    kind = Kind.LEFT if _feedback(block) == "opt-out" else Kind.COMPLAINT
    return MailReport(kind, _address(block, "Original-Rcpt-To"), "", ids)


def _old_forms(message: Message, ids: tuple[str, ...]) -> list[MailReport]:
    """Ask the collection of detectors for what is no RFC 3464 report: qmail, Exchange, and many providers' own."""
    temporary, permanent = all_failures(message)
    said = next((enhanced_status(text) for text in _texts(message) if enhanced_status(text)), "")
    found = [MailReport(Kind.SOFT, _named(address), "", ids) for address in sorted(temporary - permanent)]
    for address in sorted(permanent):
        status = said if said.startswith("5.") else ""
        found.append(MailReport(kind_of(status=status), _named(address), status, ids))
    return found


def _named(address: bytes) -> str:
    return address.decode("utf-8", "replace")


def _decoded_ids(message: Message) -> Iterator[str]:
    """Find our Message-IDs in parts that are encoded on the way."""
    for text in _texts(message):
        yield from OURS.findall(text)


def _texts(message: Message) -> Iterator[str]:
    for part in message.walk():
        payload = None if part.is_multipart() else part.get_payload(decode=True)
        if isinstance(payload, bytes):
            yield payload.decode("utf-8", "replace")
