"""E-mail through Django's configured backend, one kept connection per instance."""

from __future__ import annotations

import smtplib
import time
from typing import Any, Final

from django.core.mail import EmailMultiAlternatives, get_connection

from marketing.channels import Fate, Mail, Outcome

IDLE: Final = 5.0  # seconds; a server may have hung up on a connection that rested longer
TEXT_LENGTH: Final = 180


class EmailChannel:
    """Sends through `EMAIL_BACKEND`; with SMTP the connection is kept and checked after a rest."""

    def __init__(self) -> None:
        self._backend: Any = get_connection(fail_silently=False)
        self._used_at = 0.0

    def send(self, mail: Mail) -> Outcome:
        """Hand one message over and say what became of it."""
        try:
            self._make_ready()
        except smtplib.SMTPAuthenticationError as error:
            return Outcome(Fate.DOWN, str(error.smtp_code), said(error.smtp_error))
        except (OSError, smtplib.SMTPException) as error:
            self.close()
            return Outcome(Fate.DOWN, "", said(error))
        try:
            self._backend.send_messages([message_of(mail)])
        except smtplib.SMTPRecipientsRefused as error:
            code, text = next(iter(error.recipients.values()))
            return Outcome(_fate(code), str(code), said(text))
        except smtplib.SMTPResponseException as error:  # sender refused, data refused
            return Outcome(_fate(error.smtp_code), str(error.smtp_code), said(error.smtp_error))
        except ValueError as error:  # a header with a line break, an address that is none
            return Outcome(Fate.REJECTED, "", said(error))
        except (OSError, smtplib.SMTPException) as error:
            self.close()
            return Outcome(Fate.UNKNOWN, "", said(error))
        self._used_at = time.monotonic()
        return Outcome(Fate.ACCEPTED)

    def close(self) -> None:
        """Close the connection; the next message opens another."""
        try:
            self._backend.close()
        except (OSError, smtplib.SMTPException):
            self._backend.connection = None

    def _make_ready(self) -> None:
        connection = getattr(self._backend, "connection", None)
        if connection is not None and time.monotonic() - self._used_at > IDLE and connection.noop()[0] != 250:
            self.close()
        self._backend.open()


def message_of(mail: Mail) -> EmailMultiAlternatives:
    """Return the message as Django's backends take it."""
    visible = {"From": mail.sender} if mail.return_path else {}
    message = EmailMultiAlternatives(
        subject=mail.subject,
        body=mail.text,
        # Django takes the envelope's sender from here, and the line that people see from the header.
        from_email=mail.return_path or mail.sender,
        to=[mail.recipient],
        reply_to=[mail.reply_to] if mail.reply_to else None,
        headers={"Message-ID": mail.message_id, **visible, **mail.headers},
    )
    message.attach_alternative(mail.html, "text/html")
    # A provider's API takes it along and says it in its reports; SMTP does not look at it.
    message.metadata = {"delivery": mail.key}  # type: ignore[attr-defined]  # django-anymail's
    return message


def _fate(code: int) -> Fate:
    return Fate.REJECTED if code >= 500 else Fate.TEMPORARY


def said(text: object) -> str:
    """Return a server's words on one line, cut."""
    said = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    return " ".join(said.split())[:TEXT_LENGTH]
