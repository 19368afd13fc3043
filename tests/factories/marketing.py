"""People, sources and messages for tests."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from marketing.choices import IdentityKind, Purpose, SourceKind
from marketing.models import Profile, Segment, Source
from marketing.segmentation.clock import to_micros
from marketing.services.consent import Statement, record_consent
from marketing.services.ingestion import IngestResult, ingest
from marketing.services.profiles import create_profile
from marketing.services.segments import create_segment
from marketing.services.sources import ensure_source

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
_numbers = itertools.count(1)


def make_source(name: str = "shop", kind: SourceKind = SourceKind.SERVER) -> Source:
    return ensure_source(name=name, kind=kind, at=NOW - timedelta(days=365))


def make_profile(*, user_id: str | None = None, at: datetime = NOW, **traits: Any) -> Profile:
    """A profile with a user id."""
    value = user_id if user_id is not None else f"user-{next(_numbers)}"
    return create_profile(identities=[(IdentityKind.USER_ID, value)], traits=traits, at=at)


def track(
    event: str,
    *,
    user: str | None = None,
    visitor: str | None = None,
    at: datetime = NOW,
    message_id: str | None = None,
    **properties: Any,
) -> dict[str, Any]:
    """A message as a client sends it."""
    return {
        "type": "track",
        "messageId": message_id or f"m-{next(_numbers)}",
        "timestamp": at.isoformat(),
        "event": event,
        "userId": user,
        "anonymousId": visitor,
        "properties": properties,
    }


def send(*messages: Any, source: Source | None = None, at: datetime = NOW) -> IngestResult:
    """Take messages in."""
    return ingest(messages=messages, received_at=at, source=source or make_source())


def give_consent(
    profile: Profile, purpose: Purpose = Purpose.MARKETING_EMAIL, *, granted: bool = True, at: datetime = NOW
) -> None:
    record_consent(
        statement=Statement(
            profile_id=profile.pk,
            purpose=purpose,
            granted=granted,
            text_version="1",
            text="We may write to you.",
            source="test",
            at=to_micros(at),
        )
    )


def make_segment(rule: Mapping[str, Any], *, slug: str | None = None) -> Segment:
    """A segment whose rule's root is given."""
    name = slug or f"segment-{next(_numbers)}"
    return create_segment(slug=name, name=name, rule={"schema": 1, "root": rule}, at=NOW)
