"""What mailboxes find in the DNS about a sender's domain: SPF (RFC 7208), DKIM (RFC 6376), DMARC (RFC 7489).

Gmail and Yahoo ask everybody who sends much for all three, and that SPF or DKIM proves the domain of the From line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

DMARC: Final = "v=dmarc1"
SPF: Final = "v=spf1"
OPEN: Final = re.compile(r"(^|\s)\+?all(\s|$)")


class NoAnswer(OSError):
    """The name servers did not answer; this says nothing about the domain."""


class Resolver(Protocol):
    """Who asks the DNS."""

    def texts(self, name: str) -> Sequence[str]:
        """Return the TXT records of a name, none where there are none; `NoAnswer` where nobody answered."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that mailboxes will mind; `detail` is the name that was asked."""

    code: str
    detail: str


def check_domain(*, address: str, return_path: str, selector: str, resolver: Resolver) -> list[Finding]:
    """Return what is wrong for messages from `address` whose bounces go to `return_path` (empty: the same).

    `selector` names the DKIM key; empty where the relay signs with one that we do not know. Raises `NoAnswer`.
    """
    domain, envelope = _host(address), _host(return_path or address)
    spf = list(_spf(envelope, resolver))
    dkim = list(_dkim(domain, selector, resolver))
    found = spf + dkim + list(_dmarc(domain, resolver))
    is_signed = bool(selector) and not dkim
    if not is_signed and not _are_aligned(domain, envelope):
        found.append(Finding("not_aligned", envelope))
    return found


def _spf(domain: str, resolver: Resolver) -> Iterator[Finding]:
    records = [text for text in resolver.texts(domain) if text.lower().split()[:1] == [SPF]]
    if not records:
        yield Finding("no_spf", domain)
    elif len(records) > 1:  # RFC 7208 §4.5: then none of them counts
        yield Finding("two_spf", domain)
    elif OPEN.search(records[0].lower()):
        yield Finding("open_spf", domain)


def _dkim(domain: str, selector: str, resolver: Resolver) -> Iterator[Finding]:
    if not selector:
        yield Finding("unknown_dkim", domain)
        return
    name = f"{selector}._domainkey.{domain}"
    keys = [_tags(text).get("p", "") for text in resolver.texts(name)]
    if not any(keys):  # an empty key is a revoked one
        yield Finding("no_dkim", name)


def _dmarc(domain: str, resolver: Resolver) -> Iterator[Finding]:
    """Look at the domain and the ones above it, down to two labels: a policy covers what is below."""
    labels = domain.split(".")
    for start in range(max(len(labels) - 1, 1)):
        name = "_dmarc." + ".".join(labels[start:])
        records = [text for text in resolver.texts(name) if text.replace(" ", "").lower().startswith(DMARC)]
        if len(records) == 1 and _tags(records[0]).get("p", "").lower() in ("none", "quarantine", "reject"):
            return
        if records:
            yield Finding("bad_dmarc", name)
            return
    yield Finding("no_dmarc", f"_dmarc.{domain}")


def _tags(record: str) -> dict[str, str]:
    """Read `v=DKIM1; p=MIG…`; blanks inside a value are folding (RFC 6376 §3.2)."""
    pairs = (part.partition("=") for part in record.split(";"))
    return {name.strip().lower(): "".join(value.split()) for name, equals, value in pairs if equals}


def _are_aligned(one: str, other: str) -> bool:
    """Relaxed alignment, as far as it can be told without the list of public suffixes."""
    return one == other or one.endswith(f".{other}") or other.endswith(f".{one}")


def _host(address: str) -> str:
    return address.rpartition("@")[2].strip().rstrip(".").lower()
