"""Reports as mail servers write them, about a message with a given Message-ID."""

from __future__ import annotations

DSN = """\
Return-Path: <>
From: Mail Delivery System <MAILER-DAEMON@mx.example>
To: news@shop.example
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b1"

--b1
Content-Type: text/plain; charset=us-ascii

I'm sorry to have to inform you that your message could not be delivered.

--b1
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example
Arrival-Date: Tue, 24 Nov 2026 09:00:00 +0000

Final-Recipient: rfc822; {address}
Original-Recipient: rfc822;{address}
Action: {action}
Status: {status}
Diagnostic-Code: smtp; {words}

--b1
Content-Type: {original}

Return-Path: <news@shop.example>
Message-ID: {message_id}
From: The Shop <news@shop.example>
To: {address}
Subject: Hello

--b1--
"""
ARF = """\
From: <abuse@provider.example>
To: <complaints@shop.example>
Subject: FW: Hello
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="b2"

--b2
Content-Type: text/plain

This is an email abuse report.

--b2
Content-Type: message/feedback-report

Feedback-Type: {kind}
User-Agent: SomeGenerator/1.0
Version: 1
{recipient}
--b2
Content-Type: message/rfc822

From: The Shop <news@shop.example>
Message-ID: {message_id}
Subject: Hello

Buy this.
--b2--
"""
QMAIL = """\
From: MAILER-DAEMON@old.example
To: news@shop.example
Subject: failure notice

Hi. This is the qmail-send program at old.example.
I'm afraid I wasn't able to deliver your message to the following addresses.
This is a permanent error; I've given up. Sorry it didn't work out.

<{address}>:
Sorry, no mailbox here by that name. (#5.1.1)

--- Below this line is a copy of the message.

Return-Path: <news@shop.example>
Message-ID: {message_id}
Subject: Hello

Dear reader
"""
ABSENCE = """\
From: Ada <ada@example.org>
To: news@shop.example
Subject: Out of office
Auto-Submitted: auto-replied
In-Reply-To: {message_id}

I am away until Monday.
"""


def dsn(
    *,
    message_id: str,
    address: str = "ada@example.org",
    status: str = "5.1.1",
    action: str = "failed",
    words: str = "550 no such user",
    original: str = "text/rfc822-headers",
) -> bytes:
    """A bounce as RFC 3464 has it."""
    return DSN.format(
        message_id=message_id, address=address, status=status, action=action, words=words, original=original
    ).encode()


def complaint(*, message_id: str, kind: str = "abuse", address: str = "") -> bytes:
    """A complaint as RFC 5965 has it; providers leave the address out."""
    recipient = f"Original-Rcpt-To: <{address}>\n" if address else ""
    return ARF.format(message_id=message_id, kind=kind, recipient=recipient).encode()
