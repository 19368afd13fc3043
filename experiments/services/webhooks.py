"""Signed webhooks for whoever has news to tell: the same channel, address check and derived secrets as alerts."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings

from experiments.channels.webhook import SIGNED_BY, Signed, check_url, post


def secret_of(*, purpose: str, nonce: str) -> str:
    """The secret that a receiver checks signatures with: derived, so that the database does not hold it."""
    key = hmac.new(settings.SECRET_KEY.encode(), f"{purpose}:{nonce}".encode(), hashlib.sha256).digest()
    return SIGNED_BY + base64.b64encode(key).decode()


def check_address(*, url: str) -> None:
    """Raise `ValueError` with what is wrong with an address."""
    check_url(url)


def call(*, url: str, message_id: str, body: Mapping[str, Any], secret: str, at: datetime) -> None:
    """Send one message. Raises `OSError` or `ValueError` with what went wrong."""
    signed = Signed(
        message_id=message_id,
        timestamp=int(at.timestamp()),
        body=json.dumps(body, allow_nan=False).encode(),
        secret=secret,
    )
    post(url, signed=signed, allowed=settings.ALERT_NETWORKS)
