"""Which network addresses may be dialled: the public ones, and those that the operator names.

The address is checked when it is dialled, not when it is saved: a name may point elsewhere by then (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# `is_global` says yes to some of these on some supported versions of Python (CVE-2024-4032), and each leads inside.
DENIED: Final[tuple[Network, ...]] = tuple(
    ipaddress.ip_network(network) for network in ("192.0.0.0/24", "100.64.0.0/10", "2002::/16", "64:ff9b::/96")
)


class AddressRefused(OSError):
    """The name leads to an address that may not be dialled."""


def is_public(address: Address) -> bool:
    """Whether an address belongs to the internet and to nothing inside."""
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped is not None:
        return is_public(mapped)
    if address.is_multicast or address.is_reserved or not address.is_global:
        return False
    return not any(address.version == network.version and address in network for network in DENIED)


PORTS: Final = frozenset((80, 443, 8443))
"""What is dialled outside the networks that the operator names."""


def dial(host: str, port: int, *, timeout: float, allowed: Sequence[Network] = ()) -> socket.socket:
    """A connected socket; every address of the name is checked, and only checked ones are dialled.

    Raises `AddressRefused` if one of them is neither public nor in an `allowed` network, `OSError` if none answers.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for *_, place in found:
        address = ipaddress.ip_address(str(place[0]).partition("%")[0])
        if is_in(address, allowed):
            continue
        if port not in PORTS:
            raise AddressRefused(f"{host}: port {port} is not called, only {', '.join(map(str, sorted(PORTS)))} are")
        if not is_public(address):
            raise AddressRefused(
                f"{host} leads to {address}, which is not public; HOLDOUT_ALERT_NETWORKS would allow its network"
            )
    failure: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _name, place in found:
        sock = socket.socket(family, kind, protocol)
        sock.settimeout(timeout)
        try:
            sock.connect(place)
        except OSError as error:
            sock.close()
            failure = error
            continue
        return sock
    raise failure


def is_in(address: Address, networks: Sequence[Network]) -> bool:
    """Whether an address lies in one of the networks."""
    return any(address.version == network.version and address in network for network in networks)
