"""Up to when people may be measured: who withdrew stays in experiments, with the outcome as it was then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.db import connections

from marketing.choices import Purpose
from marketing.models import Consent

if TYPE_CHECKING:
    import ibis

TABLE: Final = "facts_withdrawn"


def keep_withdrawn(*, using: str) -> ibis.Table | None:
    """Who withdrew and when, in a temporary table of the connection; None where nobody ever did.

    A table, since the statements of a plan name the events many times: SQLite parses no deeper, and they are read once.
    Of somebody who agreed again nothing is cut.
    """
    import ibis

    if not Consent.objects.using(using).filter(purpose=Purpose.ANALYTICS, granted=False).exists():
        return None
    with connections[using].cursor() as cursor:
        cursor.execute(
            f"CREATE TEMPORARY TABLE IF NOT EXISTS {TABLE} (profile_id bigint PRIMARY KEY, withdrawn_at bigint)"
        )
        cursor.execute(f"DELETE FROM {TABLE}")  # noqa: S608 - a constant
        cursor.execute(
            f"INSERT INTO {TABLE} (profile_id, withdrawn_at) "  # noqa: S608 - constants
            "SELECT n.profile_id, min(n.at) FROM marketing_consent n WHERE n.purpose = %s AND NOT n.granted "
            "AND NOT EXISTS (SELECT 1 FROM marketing_consent y WHERE y.profile_id = n.profile_id "
            "AND y.purpose = n.purpose AND y.granted AND (y.at > n.at OR (y.at = n.at AND y.id > n.id))) "
            "GROUP BY n.profile_id",
            [Purpose.ANALYTICS.value],
        )
    return ibis.table({"profile_id": "int64", "withdrawn_at": "int64"}, name=TABLE)


def until_withdrawn(event: ibis.Table, withdrawn: ibis.Table) -> ibis.Table:
    """The events up to their person's withdrawal, which itself still counts."""
    # No join: without statistics SQLite would then read all events of a type for each unit.
    is_cut = (withdrawn.profile_id == event.profile_id) & (withdrawn.withdrawn_at < event.at)
    return event.filter(~is_cut.any())
