"""Webhooks, signed as Standard Webhooks says (https://www.standardwebhooks.com): one POST, no redirects."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import socket
import ssl
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

from experiments.channels.addresses import Network, dial

TIMEOUT: Final = 10.0
# A receiver that sends its answer byte by byte must not hold a worker; the connection is cut after this.
LONGEST: Final = 20.0
SIGNED_BY: Final = "whsec_"
"""How the standard begins a secret."""


class WebhookFailed(OSError):
    """The receiver did not take the message."""


@dataclass(frozen=True, slots=True)
class Signed:
    """What goes over the wire: stable `message_id`, so that the receiver can drop a repetition."""

    message_id: str
    timestamp: int
    body: bytes
    secret: str

    @property
    def headers(self) -> dict[str, str]:
        """The three headers of the standard; the signature covers id, time and body."""
        key = base64.b64decode(self.secret.removeprefix(SIGNED_BY))
        content = f"{self.message_id}.{self.timestamp}.".encode() + self.body
        signature = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
        return {
            "content-type": "application/json",
            "user-agent": "Holdout",
            "webhook-id": self.message_id,
            "webhook-timestamp": str(self.timestamp),
            "webhook-signature": f"v1,{signature}",
        }


def check_url(url: str) -> SplitResult:
    """The parts of an address that a webhook may have; ValueError says what is wrong with it."""
    parts = urlsplit(url)
    problems = {
        "only http and https addresses are called": parts.scheme not in ("http", "https"),
        "the address names no host": not parts.hostname,
        "an address with a password in it is not called": "@" in parts.netloc,
    }
    found = [text for text, is_wrong in problems.items() if is_wrong]
    if found:
        raise ValueError("; ".join(found))
    return parts


def post(url: str, *, signed: Signed, allowed: Sequence[Network] = ()) -> None:
    """Send one message. Raises `OSError` (`WebhookFailed`, `AddressRefused`) or `ValueError` with what went wrong.

    The answer's body is not read: its status is all that counts.
    """
    parts = check_url(url)
    host, is_safe = str(parts.hostname), parts.scheme == "https"
    port = parts.port or (443 if is_safe else 80)
    sock = dial(host, port, timeout=TIMEOUT, allowed=allowed)
    watchdog = threading.Timer(LONGEST, _cut, args=(sock,))
    watchdog.daemon = True
    watchdog.start()
    try:
        connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT)
        connection.sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host) if is_safe else sock
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", target, body=signed.body, headers=signed.headers)
        status = connection.getresponse().status
    except (http.client.HTTPException, ValueError) as error:
        raise WebhookFailed(f"no answer in HTTP: {type(error).__name__}") from error
    finally:
        watchdog.cancel()
        sock.close()
    if not 200 <= status < 300:
        raise WebhookFailed(f"the receiver answered {status}")


def _cut(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # closed already
