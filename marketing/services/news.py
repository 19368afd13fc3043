"""Of whom the computed traits have something to count: noted by whoever stores it, in the same transaction."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Final

from django.db import connection, transaction

from marketing.choices import TraitOrigin
from marketing.models import ProfileNews, ProfileTrait
from marketing.services.bulk import each_number, is_postgres

TABLE: Final = ProfileNews._meta.db_table


def note_news(*, profile_ids: Collection[int]) -> None:
    """Remember that these people have to be counted again.

    A note that is there already is written once more: a reader that takes it at the same time waits for this
    transaction, and so sees what it stored.
    """
    if not profile_ids:
        return
    with connection.cursor() as cursor:
        # In the order of the keys, so that two writers cannot wait for each other in a circle.
        cursor.execute(
            f"INSERT INTO {TABLE} (profile_id, is_claimed) "  # noqa: S608 - constants
            f"SELECT id, {_truth(False)} FROM ({each_number()}) noted WHERE true "
            "ON CONFLICT (profile_id, is_claimed) DO UPDATE SET is_claimed = excluded.is_claimed",
            [json.dumps(sorted(set(profile_ids)))],
        )


@transaction.atomic
def claim_news() -> set[int]:
    """Take what is noted; return of whom, those of a reader that was killed included.

    What is committed meanwhile waits for the next reader.
    """
    claimed = f"SELECT 1 FROM {TABLE} c WHERE c.profile_id = {TABLE}.profile_id AND c.is_claimed"  # noqa: S608 - constants
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {TABLE} SET is_claimed = {_truth(True)} WHERE NOT is_claimed AND NOT EXISTS ({claimed})"  # noqa: S608 - constants
        )
        cursor.execute(f"DELETE FROM {TABLE} WHERE NOT is_claimed AND EXISTS ({claimed})")  # noqa: S608 - constants
        cursor.execute(f"SELECT profile_id FROM {TABLE} WHERE is_claimed")  # noqa: S608 - constants
        return {profile_id for (profile_id,) in cursor.fetchall()}


def drop_claimed() -> None:
    """Forget what was taken: it has been counted."""
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {TABLE} WHERE is_claimed")  # noqa: S608 - constants


def forget_portrait(*, profile_ids: Collection[int]) -> None:
    """Delete what was computed of these people, at once: they object to profiling."""
    ids = sorted(set(profile_ids))
    for start in range(0, len(ids), 1_000):
        some = ids[start : start + 1_000]
        ProfileTrait.objects.filter(profile__in=some, definition__origin=TraitOrigin.COMPUTED).delete()


def _truth(value: bool) -> str:
    return str(value).lower() if is_postgres() else str(int(value))
