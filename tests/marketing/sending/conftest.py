from __future__ import annotations

from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from tests.smtp import send_to, smtp_server


class Mailbox:
    """A real SMTP server in this process: what it took, and what it is told to refuse."""

    def __init__(self) -> None:
        self.taken: list[EmailMessage] = []
        self.envelopes: list[str] = []
        self.refusals: dict[str, str] = {}
        self.hangs_up = False
        """Close the connection in the middle of a message, so that nobody can say whether it was taken."""

    async def handle_RCPT(  # noqa: N802 - aiosmtpd calls it so
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if address in self.refusals:
            return self.refusals[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd calls it so
        if self.hangs_up:
            server.transport.abort()
            return "451 gone"
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.taken.append(message)
        self.envelopes.append(envelope.mail_from)
        return "250 OK"

    def by_recipient(self) -> dict[str, EmailMessage]:
        return {str(message["To"]): message for message in self.taken}


@pytest.fixture
def mailbox(settings: Settings) -> Iterator[Mailbox]:
    box = Mailbox()
    settings.PUBLIC_URL = "https://shop.example"
    with smtp_server(box) as port:
        send_to(settings, port=port)
        yield box
