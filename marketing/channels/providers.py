"""Providers with an API, by django-anymail: which one, what its errors mean, and what it reports back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from anymail.exceptions import AnymailError, AnymailRecipientsRefused
from anymail.signals import AnymailTrackingEvent, EventType, RejectReason
from anymail.webhooks.base import AnymailCoreWebhookView
from django.conf import settings
from django.http import HttpRequest
from requests.exceptions import ConnectTimeout

from marketing.channels import Fate, Mail, Outcome
from marketing.channels.bounces import Kind, enhanced_status, kind_of
from marketing.channels.email import EmailChannel, message_of, said

VIEWS: Final = {
    "amazon_ses": "AmazonSESTrackingWebhookView",
    "brevo": "BrevoTrackingWebhookView",
    "mailersend": "MailerSendTrackingWebhookView",
    "mailgun": "MailgunTrackingWebhookView",
    "mailjet": "MailjetTrackingWebhookView",
    "mailtrap": "MailtrapTrackingWebhookView",
    "mandrill": "MandrillCombinedWebhookView",
    "postal": "PostalTrackingWebhookView",
    "postmark": "PostmarkTrackingWebhookView",
    "resend": "ResendTrackingWebhookView",
    "sendgrid": "SendGridTrackingWebhookView",
    "sparkpost": "SparkPostTrackingWebhookView",
    "unisender_go": "UnisenderGoTrackingWebhookView",
}
SOFT: Final = frozenset({"softbounce", "soft_bounce", "soft", "transient", "temporary"})
"""How providers say in their own words that a bounce is not for good; anymail has one word for both."""
REASONS: Final = {
    RejectReason.INVALID: Kind.HARD,
    RejectReason.BOUNCED: Kind.HARD,
    RejectReason.TIMED_OUT: Kind.SOFT,
    RejectReason.UNSUBSCRIBED: Kind.LEFT,
}
"""Of other reasons (blocked, spam, other) the recipient's mailbox is not one."""


class UnknownProvider(LookupError):
    """This installation takes no reports from there."""


@dataclass(frozen=True, slots=True)
class ProviderReport:
    """What a provider says became of one message; `key` is what `Mail.key` was, empty where it does not say."""

    kind: Kind
    key: str
    address: str
    status: str
    report_id: str


class ProviderChannel(EmailChannel):
    """Hands over through a provider's API instead of SMTP."""

    def send(self, mail: Mail) -> Outcome:
        """Hand one message over; what the API's answer leaves open is unknown, never sent again by itself."""
        try:
            self._backend.open()
            self._backend.send_messages([message_of(mail)])
        except (AnymailRecipientsRefused, ValueError) as error:
            return Outcome(Fate.REJECTED, "", said(error))
        except AnymailError as error:
            return _outcome(error)
        return Outcome(Fate.ACCEPTED)


def _outcome(error: AnymailError) -> Outcome:
    status = error.status_code
    if isinstance(error, ConnectTimeout):
        return Outcome(Fate.DOWN, "", said(error))
    if status is None or status >= 500:
        return Outcome(Fate.UNKNOWN, "", said(error))
    if status in (401, 403, 407, 429):  # a wrong key and a limit are no word about this message
        return Outcome(Fate.DOWN, "", said(error))
    return Outcome(Fate.REJECTED, "", said(error))


def read_events(request: HttpRequest, *, provider: str) -> list[ProviderReport]:
    """Return what a provider's webhook reports.

    Raises `UnknownProvider` where it is not the configured one or no secret is set, `SuspiciousOperation` (anymail's
    `AnymailWebhookValidationFailure`) for a request without the secret or with a wrong signature, `ValueError` or
    `LookupError` for a body that is none of this provider's.
    """
    if provider != settings.MAIL_PROVIDER or provider not in VIEWS or not settings.ANYMAIL.get("WEBHOOK_SECRET"):
        raise UnknownProvider(provider)
    module = import_module(f"anymail.webhooks.{provider}")
    view: AnymailCoreWebhookView = getattr(module, VIEWS[provider])()
    view.run_validators(request)
    return list(_reports(view.parse_events(request)))


def _reports(events: list[Any]) -> Iterator[ProviderReport]:
    for event in events:
        kind = _kind(event) if isinstance(event, AnymailTrackingEvent) else None
        if kind is not None:
            yield ProviderReport(
                kind=kind,
                key=str((event.metadata or {}).get("delivery") or event.message_id or ""),
                address=str(event.recipient or ""),
                status=_status(event),
                report_id=str(event.event_id or event.message_id or ""),
            )


def _status(event: AnymailTrackingEvent) -> str:
    return enhanced_status(f"{event.mta_response or ''} {event.description or ''}")


def _kind(event: AnymailTrackingEvent) -> Kind | None:
    """Return what the event says of the mailbox; None for what is no end (deferred), or no matter of ours (opened)."""
    plain = {
        EventType.DELIVERED: Kind.DELIVERED,
        EventType.COMPLAINED: Kind.COMPLAINT,
        EventType.UNSUBSCRIBED: Kind.LEFT,
        EventType.FAILED: Kind.BLOCKED,
    }
    if event.event_type in plain:
        return plain[event.event_type]
    if event.event_type not in (EventType.BOUNCED, EventType.REJECTED):
        return None
    if _is_soft(event.esp_event):
        return Kind.SOFT
    status = _status(event)
    return kind_of(status=status) if status else REASONS.get(event.reject_reason, Kind.BLOCKED)


def _is_soft(said_so: Any) -> bool:
    """Look for the provider's own word, two levels deep: each keeps it under another name."""
    if not hasattr(said_so, "values"):
        return False
    values = [value for one in said_so.values() for value in (one.values() if hasattr(one, "values") else [one])]
    return any(isinstance(value, str) and value.lower() in SOFT for value in values)
