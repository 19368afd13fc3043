"""Whether mailboxes will trust a sender's domain: asked of the DNS, kept at the sender."""

from __future__ import annotations

import logging
from dataclasses import asdict
from datetime import datetime

from marketing.channels.domain import NoAnswer, Resolver, check_domain
from marketing.models import Sender

log = logging.getLogger(__name__)


def check_sender(*, sender_id: int, at: datetime, resolver: Resolver | None = None) -> bool:
    """Look a sender's domain up and keep what was found; False where the DNS did not answer, and nothing changes."""
    sender = Sender.objects.get(pk=sender_id)
    try:
        found = check_domain(
            address=sender.email,
            return_path=sender.return_path,
            selector=sender.dkim_selector,
            resolver=resolver or _name_servers(),
        )
    except NoAnswer as error:
        log.warning("the domain of sender %s could not be checked: %s", sender_id, error)
        return False
    # Only for the addresses that were asked about: somebody may have changed them meanwhile.
    Sender.objects.filter(
        pk=sender_id, email=sender.email, return_path=sender.return_path, dkim_selector=sender.dkim_selector
    ).update(domain_findings=[asdict(finding) for finding in found], domain_checked_at=at)
    return True


def check_senders(*, at: datetime, resolver: Resolver | None = None) -> tuple[int, int]:
    """Check every sender; return how many were checked and how many could not be."""
    ids = list(Sender.objects.order_by("pk").values_list("pk", flat=True))
    checked = sum(check_sender(sender_id=pk, at=at, resolver=resolver) for pk in ids)
    return checked, len(ids) - checked


def _name_servers() -> Resolver:
    from marketing.channels.dns import NameServers  # dnspython: only whoever asks has use for it

    return NameServers()
