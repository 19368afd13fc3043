"""Identities that were erased, as keyed hashes: what is older than the erasure does not come back.

A new sign-up, which is newer, does. An import brings nobody back at all: a file does not say when its people signed up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from django.utils.crypto import salted_hmac

from marketing.choices import IdentityKind, SourceKind
from marketing.models import Tombstone
from marketing.segmentation.clock import to_micros
from marketing.services.bulk import select_by
from marketing.services.messages import IdentityKey, Message, normalized
from marketing.services.resolution import find

SALT: Final = "marketing.tombstone"


def identity_hash(key: IdentityKey) -> str:
    """Return the keyed hash under which an erased identity is remembered."""
    kind, value = key
    return salted_hmac(SALT, f"{kind}:{normalized(kind, value)}", algorithm="sha256").hexdigest()


def bury(*, keys: Iterable[IdentityKey], at: datetime) -> int:
    """Remember that these identities were erased now; return how many there are."""
    hashes = sorted({identity_hash(key) for key in keys})
    rows = [Tombstone(identity_hash=one, at=to_micros(at)) for one in hashes]
    Tombstone.objects.bulk_create(rows, update_conflicts=True, unique_fields=["identity_hash"], update_fields=["at"])
    return len(rows)


def erased(*, messages: Sequence[Message], source_kind: str) -> set[int]:
    """Return the places of the messages that are about somebody who was erased, and must not be stored."""
    if not Tombstone.objects.exists():
        return set()
    hashes: dict[IdentityKey, str] = {}
    for message in messages:
        for key in _keys(message):
            if key not in hashes:
                hashes[key] = identity_hash(key)
    rows = select_by(
        sql="SELECT identity_hash, at FROM marketing_tombstone WHERE identity_hash IN {values}",
        values=set(hashes.values()),
    )
    if not rows:
        return set()
    moments = dict(rows)
    gone = {key: moments[one] for key, one in hashes.items() if one in moments}
    back = find(gone) if source_kind == SourceKind.IMPORT else {}
    is_import = source_kind == SourceKind.IMPORT
    return {
        place
        for place, message in enumerate(messages)
        if any(key in gone and (message.at <= gone[key] or (is_import and key not in back)) for key in _keys(message))
    }


def _keys(message: Message) -> list[IdentityKey]:
    """Whom a message is about: its identities, and an address among its traits."""
    address = (message.traits or {}).get("email")
    named = [(IdentityKind.EMAIL.value, address.strip().lower())] if isinstance(address, str) and address else []
    return [*([] if message.identity is None else [message.identity]), *message.also, *named]
