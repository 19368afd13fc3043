"""Mail to the people who run experiments, through the installation's mail server."""

from __future__ import annotations

from collections.abc import Mapping

from django.core.mail import EmailMultiAlternatives


def send(*, to: str, subject: str, text: str, headers: Mapping[str, str]) -> None:
    """Send one plain-text mail; raises `OSError` (smtplib's errors are) if the server does not take it."""
    mail = EmailMultiAlternatives(
        subject=" ".join(subject.split()), body=text, to=[to], headers={"Auto-Submitted": "auto-generated", **headers}
    )
    mail.send()
