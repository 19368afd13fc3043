"""New, empty profiles in bulk."""

from __future__ import annotations

import uuid
import zlib
from datetime import datetime
from typing import Final

from django.db import connection

from marketing.models import Profile
from marketing.models.profile import SAMPLE_BUCKETS
from marketing.services.bulk import insert_new
from marketing.services.changes import mark_changed

SAMPLE_SALT: Final = b"holdout-sample"


def sample_bucket(public_id: uuid.UUID) -> int:
    """Return the profile's place in samples and previews; it has nothing to do with any experiment's bucket."""
    return zlib.crc32(public_id.bytes, zlib.crc32(SAMPLE_SALT)) % SAMPLE_BUCKETS


def insert_profiles(*, count: int, is_demo: bool, at: datetime) -> list[int]:
    """Make empty profiles and return their keys."""
    if not count:
        return []
    public = [uuid.uuid4() for _ in range(count)]
    stamp = connection.ops.adapt_datetimefield_value(at)
    as_text = connection.features.has_native_uuid_field
    rows = [
        (one if as_text else one.hex, "", "", "", "", 0, 0, False, sample_bucket(one), is_demo, stamp) for one in public
    ]
    columns = (
        "public_id",
        "email",
        "country",
        "language",
        "timezone",
        "orders_n",
        "revenue",
        "marketing_ok",
        "sample_bucket",
        "is_demo",
        "created_at",
    )
    ids = insert_new(model=Profile, columns=columns, rows=rows, key="public_id")
    mark_changed(profile_ids=ids.values())
    return [ids[one if as_text else one.hex] for one in public]
