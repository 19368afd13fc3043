"""Units that are no person: accounts, households and other groups. An event counts for the group of its person.

Who belongs where is in the event log itself: `Group Joined`, and `Experiment Viewed` that names the group. What counts
is the membership at the group's first exposure: who joins later brings nothing with them, who leaves still counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from django.db import connections

from marketing.models import Event, EventType

if TYPE_CHECKING:
    import ibis

TABLE: Final = "marketing_group_member"
JOINED: Final = "Group Joined"
VIEWED: Final = "Experiment Viewed"
ACCOUNT: Final = "account"
"""The kind of a group whose messages name none."""


def members(*, exposures: ibis.Table, kind: str, experiment_key: str, using: str) -> ibis.Table:
    """Each exposed group (`unit`) with the people (`profile_id`) who belonged to it at its first exposure."""
    import ibis

    first = exposures.group_by(group_id=exposures.unit).agg(first_at=exposures.first_at.min())
    belonged = _belonged(kind=kind, experiment_key=experiment_key, using=using).inner_join(first, "group_id")
    stayed = belonged.until.isnull() | (belonged.first_at < belonged.until)
    at_exposure = belonged.filter((belonged.at <= belonged.first_at) & stayed)
    return at_exposure.select(unit=ibis._.group_id, profile_id=ibis._.profile_id).distinct()


def keep_members(sql: str, *, using: str) -> ibis.Table:
    """The rows of `members` in a temporary table of the connection, which the expressions then name."""
    import ibis

    with connections[using].cursor() as cursor:
        cursor.execute(f"CREATE TEMPORARY TABLE IF NOT EXISTS {TABLE} (unit text, profile_id bigint)")
        cursor.execute(f"DELETE FROM {TABLE}")  # noqa: S608 - a constant
        cursor.execute(f"INSERT INTO {TABLE} (unit, profile_id) {sql}")
    return ibis.table({"unit": "string", "profile_id": "int64"}, name=TABLE)


def _belonged(*, kind: str, experiment_key: str, using: str) -> ibis.Table:
    """Who belonged to which group of a kind: `profile_id`, `group_id`, from `at`, before `until`."""
    import ibis
    import ibis.expr.datatypes as dt

    types = dict(EventType.objects.using(using).filter(name__in=(JOINED, VIEWED)).values_list("name", "pk"))
    columns: dict[str, Any] = {"profile_id": "int64", "type_id": "int64", "at": "int64", "props": dt.JSON(binary=True)}
    event = ibis.table(columns, name=Event._meta.db_table)
    named = event.props["group_type"].str
    is_kind = (named.isnull() | (named == kind)) if kind == ACCOUNT else named == kind
    is_join = (event.type_id == types.get(JOINED, 0)) & is_kind
    is_view = (event.type_id == types.get(VIEWED, 0)) & (event.props["experiment_id"].str == experiment_key)
    group_id = ibis.coalesce(event.props["groupId"].str, event.props["group_id"].str)
    rows = event.filter((is_join | is_view) & group_id.notnull()).select("profile_id", "at", group_id=group_id)
    until = rows.at.lead().over(group_by=rows.profile_id, order_by=[rows.at, rows.group_id])
    return rows.mutate(until=until)
