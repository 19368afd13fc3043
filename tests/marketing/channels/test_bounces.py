"""Bounces and complaints in every form that comes back, and nothing made of what is none."""

from __future__ import annotations

import base64
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketing.channels.bounces import Kind, MailReport, enhanced_status, kind_of, read_report
from marketing.services.sending.mailboxes import UNREADABLE
from tests.marketing.channels.reports import ABSENCE, QMAIL, complaint, dsn

KEY = "17." + "0123456789abcdef01234567" + "@shop.example"
ID = f"<{KEY}>"


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        ("5.1.1", "550 no such user", Kind.HARD),
        ("5.2.1", "550 mailbox disabled", Kind.HARD),
        ("5.2.2", "552 mailbox full", Kind.SOFT),
        ("4.4.1", "connection timed out", Kind.SOFT),
        ("5.7.1", "550 5.7.1 blocked by a list", Kind.BLOCKED),
        ("5.0.0", "550 5.7.26 unauthenticated", Kind.BLOCKED),
        ("5.0.0", "550 5.1.1 unknown", Kind.HARD),
        ("5.0.0", "no word", Kind.HARD),
    ],
)
def test_read_report__rfc_3464__is_told_by_its_status(status: str, words: str, kind: Kind) -> None:
    (report,) = read_report(dsn(message_id=ID, status=status, words=words))
    assert (report.kind, report.address, report.message_ids) == (kind, "ada@example.org", (KEY,))


def test_read_report__whole_message_returned__finds_its_id() -> None:
    (report,) = read_report(dsn(message_id=ID, original="message/rfc822"))
    assert report.message_ids == (KEY,)


@pytest.mark.parametrize("action", ["delayed", "relayed", "expanded"])
def test_read_report__not_the_end__reports_nothing(action: str) -> None:
    assert read_report(dsn(message_id=ID, action=action, status="4.4.1")) == []


def test_read_report__delivered__says_so() -> None:
    (report,) = read_report(dsn(message_id=ID, action="delivered", status="2.0.0"))
    assert report.kind is Kind.DELIVERED


@pytest.mark.parametrize(
    ("feedback", "found"),
    [("abuse", [Kind.COMPLAINT]), ("fraud", [Kind.COMPLAINT]), ("opt-out", [Kind.LEFT]), ("not-spam", [])],
)
def test_read_report__rfc_5965__is_told_by_its_type(feedback: str, found: list[Kind]) -> None:
    reports = read_report(complaint(message_id=ID, kind=feedback))
    assert [one.kind for one in reports] == found
    assert all(one.message_ids == (KEY,) and one.address == "" for one in reports)


def test_read_report__complaint_that_names_the_address__has_it() -> None:
    assert read_report(complaint(message_id=ID, address="ada@example.org"))[0].address == "ada@example.org"


def test_read_report__qmail__is_understood_too() -> None:
    raw = QMAIL.format(address="ada@example.org", message_id=ID).encode()
    assert read_report(raw) == [MailReport(Kind.HARD, "ada@example.org", "5.1.1", (KEY,))]


def test_read_report__absence_note__is_no_bounce() -> None:
    assert read_report(ABSENCE.format(message_id=ID).encode()) == []


def test_read_report__id_in_an_encoded_part__is_found() -> None:
    part = base64.b64encode(f"Message-ID: {ID}\n".encode()).decode()
    raw = dsn(message_id="<other@example.org>").decode()
    raw = raw.replace("us-ascii\n", "us-ascii\nContent-Transfer-Encoding: base64\n")
    raw = raw.replace("I'm sorry to have to inform you that your message could not be delivered.\n", part)
    assert read_report(raw.encode())[0].message_ids == (KEY,)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 700), st.integers(0, 200))
def test_read_report__any_bytes_within_a_report__never_end_in_another_error(junk: bytes, place: int, cut: int) -> None:
    raw = dsn(message_id=ID)
    with suppress(*UNREADABLE):  # the reading of the mailbox goes on after these
        read_report(raw[:place] + junk + raw[place + cut :])


def test_kind_of__no_enhanced_status__goes_by_three_digits() -> None:
    assert [kind_of(status="", code=code) for code in (452, 550, 551, 552, 554)] == [
        Kind.SOFT,
        Kind.HARD,
        Kind.HARD,
        Kind.BLOCKED,
        Kind.BLOCKED,
    ]
    assert enhanced_status("said 10.5.1.1 to us") == ""
