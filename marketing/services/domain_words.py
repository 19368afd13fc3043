"""What was found about a sender's domain, in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

SAID: Final[dict[str, str | Promise]] = {
    "no_spf": gettext_lazy("%(detail)s has no SPF record: it names the servers that may send for it."),
    "two_spf": gettext_lazy("%(detail)s has two SPF records; mailboxes then believe neither."),
    "open_spf": gettext_lazy("The SPF record of %(detail)s allows everybody (“+all”), which proves nothing."),
    "no_dkim": gettext_lazy("There is no DKIM key at %(detail)s."),
    "unknown_dkim": gettext_lazy(
        "Your mail server or provider must sign for %(detail)s with DKIM, List-Unsubscribe and List-Unsubscribe-Post "
        "included; name its selector here and the key is looked up."
    ),
    "no_dmarc": gettext_lazy(
        "There is no DMARC record at %(detail)s: Gmail and Yahoo ask for one, “p=none” is enough."
    ),
    "bad_dmarc": gettext_lazy("The DMARC record at %(detail)s cannot be read: there must be one, with a policy."),
    "not_aligned": gettext_lazy(
        "Bounces go to %(detail)s, another domain than the sender's: SPF then proves nothing about the From line, and "
        "DKIM has to."
    ),
}


def say_findings(*, findings: Iterable[Mapping[str, str]] | None) -> list[str]:
    """Return a sentence for each finding that this version knows."""
    return [str(SAID[one["code"]]) % {"detail": one["detail"]} for one in findings or () if one["code"] in SAID]
