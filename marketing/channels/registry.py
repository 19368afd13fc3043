"""Which channel a message leaves by."""

from __future__ import annotations

from django.conf import settings

from marketing.channels import Channel
from marketing.channels.email import EmailChannel


def open_email() -> Channel:
    """Return a connection for e-mail: the provider's API where one is configured, else Django's backend."""
    if not settings.MAIL_PROVIDER:
        return EmailChannel()
    from marketing.channels.providers import ProviderChannel  # requests: nobody without a provider has use for it

    return ProviderChannel()
