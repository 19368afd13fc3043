"""A short mail to somebody who asked for it: no marketing, no tracking, through the installation's mail server."""

from __future__ import annotations

from django.core.mail import EmailMessage


def send_note(*, to: str, subject: str, text: str) -> None:
    """Send one plain-text mail; raises `OSError` (smtplib's errors are) if the server does not take it."""
    headers = {"Auto-Submitted": "auto-generated"}
    EmailMessage(subject=" ".join(subject.split()), body=text, to=[to], headers=headers).send()
