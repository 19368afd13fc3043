"""Who has changed since segments looked last: whoever writes what a rule may ask of somebody says so here.

In the same transaction. Rows are only added, so that writers never wait for each other; a refresh claims those that
are committed, and deletes them when every segment has seen them.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Sequence
from typing import Any, Final

from django.db import connection
from django.db.backends.utils import CursorWrapper

from marketing.choices import MembershipCause
from marketing.models import ChangedProfile
from marketing.services.bulk import each_number

TABLE: Final = ChangedProfile._meta.db_table
STAGE: Final = "stage_changed"
"""Who changed, once each, and why: of the session."""


def mark_changed(*, profile_ids: Iterable[int], cause: MembershipCause = MembershipCause.EVENT) -> None:
    """Remember that these people have to be looked at again."""
    ids = sorted(set(profile_ids))
    if not ids:
        return
    mark_found(query=each_number(), params=[json.dumps(ids)], cause=cause)


def mark_found(*, query: str, params: Sequence[Any], cause: MembershipCause) -> None:
    """Remember that the people whose `id` a query finds have to be looked at again."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {TABLE} (profile_id, cause, claim) SELECT id, %s, '' FROM ({query}) found",  # noqa: S608 - constants
            [cause.value, *params],
        )


def claim_changes() -> list[str]:
    """Claim what is new; return the claims that stand, those of a refresh that was killed included.

    One that is committed meanwhile has no claim and waits for the next time.
    """
    ChangedProfile.objects.filter(claim="").update(claim=secrets.token_hex(16))
    return sorted(ChangedProfile.objects.exclude(claim="").values_list("claim", flat=True).distinct())


def stage_changes(cursor: CursorWrapper, *, claims: Sequence[str] | None = None) -> int:
    """Fill `STAGE` with who changed (of these claims, or all of them); return how many."""
    causes = (MembershipCause.CONSENT, MembershipCause.MERGE, MembershipCause.EVENT)
    columns = ", ".join(f"by_{cause.value} smallint NOT NULL" for cause in causes)
    cursor.execute(f"CREATE TEMP TABLE IF NOT EXISTS {STAGE} (id bigint PRIMARY KEY, last bigint NOT NULL, {columns})")
    cursor.execute(f"DELETE FROM {STAGE}")  # noqa: S608 - constants
    flags = ", ".join(f"max(CASE cause WHEN '{cause.value}' THEN 1 ELSE 0 END)" for cause in causes)
    among = "" if claims is None else f"WHERE claim IN ({', '.join(['%s'] * len(claims)) or 'NULL'})"
    cursor.execute(
        f"INSERT INTO {STAGE} SELECT profile_id, max(id), {flags} FROM {TABLE} {among} GROUP BY profile_id",  # noqa: S608 - constants
        list(claims or ()),
    )
    return int(cursor.rowcount)


def last_staged() -> int:
    """Return the number of the newest change in `STAGE`."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COALESCE(max(last), 0) FROM {STAGE}")  # noqa: S608 - constants
        return int(cursor.fetchone()[0])


def forget_changes(*, claims: Sequence[str]) -> None:
    """Delete what every segment has seen."""
    ChangedProfile.objects.filter(claim__in=claims).delete()
