"""Sources: where events come from, and the keys with which they may send."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q

from marketing.choices import MANAGEMENT_SCOPES, SourceKind
from marketing.errors import CannotIssueKey
from marketing.models import Source, WriteKey

KEY_BYTES: Final = 32  # 256 random bits: a plain hash of it cannot be searched
KEY_PREFIX: Final = "hk_"
SHOWN: Final = 8  # characters of a key that people see in lists
OVERLAP: Final = timedelta(days=7)  # in which clients change from an old key to its successor
NOTED_EVERY: Final = timedelta(minutes=1)  # how exactly it is known when a key was last used


def ensure_source(*, name: str, kind: SourceKind, at: datetime) -> Source:
    """Return the source `name`, made if it is not there yet; an existing one keeps its kind."""
    source, _ = Source.objects.get_or_create(name=name, defaults={"kind": kind, "created_at": at})
    return source


def issue_key(
    *,
    source: Source,
    scopes: Sequence[str],
    at: datetime,
    rate_limit: int | None = None,
    quota: int | None = None,
    acts_for: User | None = None,
) -> tuple[WriteKey, str]:
    """Make a key and return it with its secret, which is kept nowhere: this is the only time it can be shown.

    A key of the management API acts for a person. Raises `CannotIssueKey`.
    """
    if set(scopes).intersection(MANAGEMENT_SCOPES):
        if source.kind == SourceKind.BROWSER:
            raise CannotIssueKey(f"The source {source.name!r} is a browser: its keys are public and may read nothing.")
        if acts_for is None:
            raise CannotIssueKey("A key of the management API acts for a person; name one.")
    secret = KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)
    key = WriteKey.objects.create(
        source=source,
        prefix=secret[:SHOWN],
        sha256=hashlib.sha256(secret.encode()).hexdigest(),
        scopes=list(scopes),
        rate_limit=rate_limit,
        quota=quota,
        acts_for=acts_for,
        created_at=at,
    )
    return key, secret


@transaction.atomic
def rotate_key(*, key_id: int, overlap: timedelta, at: datetime) -> tuple[WriteKey, str]:
    """Make a key with the same rights in the place of another, which stays valid for the overlap.

    Raises `CannotIssueKey` for a key that is no longer in force.
    """
    old = WriteKey.objects.select_related("source", "acts_for").filter(in_force(at), pk=key_id).first()
    if old is None:
        raise CannotIssueKey("The key is no longer in force; issue a new one.")
    made = issue_key(
        source=old.source,
        scopes=old.scopes,
        at=at,
        rate_limit=old.rate_limit,
        quota=old.quota,
        acts_for=old.acts_for,
    )
    expires_at = at + overlap if old.expires_at is None else min(old.expires_at, at + overlap)
    WriteKey.objects.filter(pk=old.pk).update(expires_at=expires_at)
    return made


def in_force(at: datetime) -> Q:
    """The keys that are valid at a time."""
    return Q(revoked_at=None, source__archived_at=None) & (Q(expires_at=None) | Q(expires_at__gt=at))


def revoke_key(*, key_id: int, at: datetime) -> bool:
    """Make a key useless from now on; return whether it was in use."""
    return bool(WriteKey.objects.filter(pk=key_id, revoked_at=None).update(revoked_at=at))


def management_key(*, secret: str, at: datetime) -> WriteKey | None:
    """Return the key in force with which a program may use the management API, and note that it was used."""
    key = (
        WriteKey.objects.select_related("acts_for")
        .filter(sha256=hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest())
        .filter(in_force(at), acts_for__is_active=True)
        .first()
    )
    if key is None or not set(key.scopes).intersection(MANAGEMENT_SCOPES):
        return None
    if key.last_used_at is None or at - key.last_used_at > NOTED_EVERY:
        unnoted = Q(last_used_at=None) | Q(last_used_at__lt=at)
        WriteKey.objects.filter(unnoted, pk=key.pk).update(last_used_at=at)
    return key
