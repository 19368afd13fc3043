"""Reading the mailbox that bounces and complaints come back to."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from marketing.channels.bounces import read_report
from marketing.channels.mailbox import letters
from marketing.services.sending.feedback import record_reports

log = logging.getLogger(__name__)

AT_ONCE: Final = 500  # messages of one run; the next one goes on
# What the oldest forms of bounces do to parsers; the message stays in the mailbox's `read` part, for a person.
UNREADABLE: Final = (ValueError, LookupError, TypeError, AttributeError, AssertionError, RecursionError)


@dataclass(slots=True)
class ReadMail:
    """What one run found."""

    messages: int = 0
    reports: int = 0
    """New ones, about messages of ours."""
    others: int = 0
    """Messages that report nothing, or nothing about a message of ours."""
    unreadable: int = 0


def read_bounces(*, place: str, clock: Callable[[], datetime], limit: int = AT_ONCE) -> ReadMail:
    """Read a mailbox (`channels.mailbox.letters` says which) and act on its reports; raises `CannotReadMailbox`.

    A message is marked as read after its reports are stored: a run that dies in between reads it again, and finds the
    reports known.
    """
    found = ReadMail()
    with letters(place, limit=limit) as waiting:
        for letter in waiting:
            found.messages += 1
            try:
                reports = read_report(letter.raw())
            except UNREADABLE:
                log.warning("a message in the bounce mailbox cannot be read", exc_info=True)
                found.unreadable += 1
                letter.done()
                continue
            new = record_reports(reports=reports, at=clock())
            found.reports += new
            found.others += not new
            letter.done()
    return found
