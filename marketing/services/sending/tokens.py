"""The signed addresses in a message. They hold numbers only: no address, no name, and nothing that can be changed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from django.conf import settings
from django.core import signing
from django.urls import reverse
from django.utils.crypto import constant_time_compare, salted_hmac

CLICK_SALT: Final = "marketing.mail.click"
UNSUBSCRIBE_SALT: Final = "marketing.mail.unsubscribe"
PLACE: Final = "TOKEN"
MESSAGE_KEY: Final = re.compile(r"(\d{1,18})\.([0-9a-f]{24})")


@dataclass(frozen=True, slots=True)
class MailClick:
    """What a link of a message says: the delivery, and a target that is named, never spelled out."""

    delivery_id: int
    link_id: int
    """0: the item."""
    item: str
    position: int
    recommendation_id: str


def click_url(click: MailClick) -> str:
    """Return the absolute address of a link in a message."""
    parts = [click.delivery_id, click.link_id, click.item, click.position, click.recommendation_id]
    return _absolute("marketing:mail-follow", signing.dumps(parts, salt=CLICK_SALT))


def read_click(token: str) -> MailClick:
    """Return what a link says; `signing.BadSignature` for anything that we did not sign."""
    return MailClick(*signing.loads(token, salt=CLICK_SALT))


def unsubscribe_url(delivery_id: int) -> str:
    """Return the absolute address at which the recipient of a delivery unsubscribes."""
    return _absolute("marketing:unsubscribe", signing.dumps(delivery_id, salt=UNSUBSCRIBE_SALT))


def read_unsubscribe(token: str) -> int:
    """Return the delivery; `signing.BadSignature` for anything that we did not sign."""
    return int(signing.loads(token, salt=UNSUBSCRIBE_SALT))


def message_key(delivery_id: int) -> str:
    """Return what identifies a message outside: its number and a keyed digest of it, so that nobody can make one up."""
    digest = salted_hmac("marketing.mail.id", str(delivery_id), algorithm="sha256").hexdigest()
    return f"{delivery_id}.{digest[:24]}"


def read_message_key(text: str) -> int | None:
    """Return the delivery that a key or a Message-ID belongs to, None for anything that we did not make."""
    found = MESSAGE_KEY.match(text.strip().removeprefix("<"))
    if found is None or not constant_time_compare(found[0], message_key(int(found[1]))):
        return None
    return int(found[1])


def _absolute(name: str, token: str) -> str:
    before, after = _path(name)
    return f"{settings.PUBLIC_URL.rstrip('/')}{before}{token}{after}"


@lru_cache(maxsize=8)
def _path(name: str) -> tuple[str, str]:
    """Return what stands before and after the token: looking a name up takes as long as signing it."""
    before, _token, after = reverse(name, args=[PLACE]).partition(PLACE)
    return before, after
