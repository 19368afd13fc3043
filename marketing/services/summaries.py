"""What is known of a profile's whole behaviour: kept up by the ingestion, rebuilt from the events when needed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from django.db import connection
from django.db.models import Count, F, Max, Min, Sum

from marketing.models import Activity, ArchivedActivity, Event, EventType, Profile
from marketing.services.bulk import is_postgres, staged
from marketing.services.messages import ORDER_EVENT, REFUND_EVENT
from marketing.services.news import note_news

# (profile id, type id, at, value) of each new event
Fact = tuple[int, int, int, int | None]

ACTIVITY_COLUMNS: Final = {
    "profile_id": "bigint",
    "type_id": "bigint",
    "n": "bigint",
    "first_at": "bigint",
    "last_at": "bigint",
    "total": "bigint",
}
SUMMARY_COLUMNS: Final = {
    "profile_id": "bigint",
    "first_at": "bigint",
    "last_at": "bigint",
    "orders": "bigint",
    "revenue": "bigint",
}


def add_facts(*, facts: Sequence[Fact], order_type: int | None, refund_type: int | None) -> None:
    """Count new events into the activity rows and the profiles, each row once per call."""
    activity: dict[tuple[int, int], list[int]] = {}
    for profile, type_, at, value in facts:
        row = activity.get((profile, type_))
        if row is None:
            activity[profile, type_] = [1, at, at, value or 0]
            continue
        row[0] += 1
        if at < row[1]:
            row[1] = at
        elif at > row[2]:
            row[2] = at
        row[3] += value or 0
    summary: dict[int, list[int]] = {}
    for (profile, type_), (n, first, last, total) in activity.items():
        row = summary.setdefault(profile, [first, last, 0, 0])
        row[0] = min(row[0], first)
        row[1] = max(row[1], last)
        if type_ == order_type:
            row[2] += n
        if type_ in (order_type, refund_type):
            row[3] += total
    _upsert_activity(activity)
    _update_profiles(summary)
    note_news(profile_ids=summary)


def _upsert_activity(activity: dict[tuple[int, int], list[int]]) -> None:
    least, most = ("LEAST", "GREATEST") if is_postgres() else ("MIN", "MAX")
    # In the order of the keys: two ingestions that touch the same rows must not wait for each other in a circle.
    rows = [(*key, *values) for key, values in sorted(activity.items())]
    with staged(name="activity", columns=ACTIVITY_COLUMNS, rows=rows) as stage, connection.cursor() as cursor:
        cursor.execute(
            f"""
            INSERT INTO marketing_activity (profile_id, type_id, n, first_at, last_at, total)
            SELECT profile_id, type_id, n, first_at, last_at, total FROM {stage} WHERE true
            ON CONFLICT (type_id, profile_id) DO UPDATE SET
                n = marketing_activity.n + excluded.n,
                first_at = {least}(marketing_activity.first_at, excluded.first_at),
                last_at = {most}(marketing_activity.last_at, excluded.last_at),
                total = marketing_activity.total + excluded.total
            """  # noqa: S608 - constants
        )


def _update_profiles(summary: dict[int, list[int]]) -> None:
    least, most = ("LEAST", "GREATEST") if is_postgres() else ("MIN", "MAX")
    rows = [(profile, *values) for profile, values in sorted(summary.items())]
    with staged(name="summary", columns=SUMMARY_COLUMNS, rows=rows) as stage, connection.cursor() as cursor:
        if is_postgres():
            cursor.execute(
                f"SELECT p.id FROM marketing_profile p JOIN {stage} s ON s.profile_id = p.id ORDER BY p.id FOR UPDATE"  # noqa: S608 - constants
            )
        cursor.execute(
            f"""
            UPDATE marketing_profile SET
                first_seen_at = {least}(COALESCE(first_seen_at, s.first_at), s.first_at),
                last_seen_at = {most}(COALESCE(last_seen_at, s.last_at), s.last_at),
                orders_n = orders_n + s.orders,
                revenue = marketing_profile.revenue + s.revenue
            FROM {stage} s WHERE s.profile_id = marketing_profile.id
            """  # noqa: S608 - constants
        )


def rebuild_summaries(*, profile_ids: Collection[int]) -> None:
    """Recount activity and totals of these profiles from their events, those in the archive included."""
    note_news(profile_ids=profile_ids)
    Activity.objects.filter(profile__in=profile_ids).delete()
    stored = (
        Event.objects.filter(profile__in=profile_ids)
        .values_list("profile_id", "type_id")
        .annotate(n=Count("id"), first=Min("at"), last=Max("at"), total=Sum("value", default=0))
    )
    archived = (
        ArchivedActivity.objects.filter(identity__profile__in=profile_ids)
        .values_list("identity__profile_id", "type_id")
        .annotate(Sum("n"), Min("first_at"), Max("last_at"), Sum("total"))
    )
    found: dict[tuple[int, int], Activity] = {}
    for profile_id, type_id, n, first_at, last_at, total in [*stored, *archived]:
        row = found.setdefault(
            (profile_id, type_id),
            Activity(profile_id=profile_id, type_id=type_id, n=0, first_at=first_at, last_at=last_at, total=0),
        )
        row.n += n
        row.first_at, row.last_at = min(row.first_at, first_at), max(row.last_at, last_at)
        row.total += total
    Activity.objects.bulk_create(found.values())
    money = dict(EventType.objects.filter(name__in=(ORDER_EVENT, REFUND_EVENT)).values_list("name", "pk"))
    for profile_id in profile_ids:
        mine = list(Activity.objects.filter(profile=profile_id))
        Profile.objects.filter(pk=profile_id).update(
            orders_n=sum(row.n for row in mine if row.type_id == money.get(ORDER_EVENT)),
            revenue=sum(row.total for row in mine if row.type_id in money.values()),
            first_seen_at=min((row.first_at for row in mine), default=None) or F("first_seen_at"),
            last_seen_at=max((row.last_at for row in mine), default=None) or F("last_seen_at"),
        )
