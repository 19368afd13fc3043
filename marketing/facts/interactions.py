"""What people did with items, for the recommender."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from django.db import connection
from django.db.models import Exists, F, OuterRef, Subquery, Window
from django.db.models.functions import RowNumber

from experiments.selectors import list_exposed
from marketing.choices import Purpose
from marketing.models import Consent, Event, EventType, Membership, Profile, ProfileAlias
from marketing.segmentation.vocabulary import MICRO
from marketing.selectors.segment_references import neutral_segments, recent_neutral_segments
from recommender.ports import ExposedArm, InteractionChunk, RecentEvent

ORDER: Final = "Order Completed"
PROFILE: Final = "profile"
CHUNK: Final = 100_000
"""Events of one query: it looks everybody's consent up again."""
FETCHED: Final = 5_000
"""Rows that are Python's at once: a row of tuples and texts weighs ten times its place in an array."""


class Interactions:
    """What people did with items. Training sees only people who agreed to personalization and do not object."""

    def interactions(self, *, since: int | None, until: int, event_types: Sequence[str]) -> Iterator[InteractionChunk]:
        """Yield the events in [since, until) that name an item, in chunks in the order of their keys."""
        types = dict(EventType.objects.filter(name__in=event_types).values_list("pk", "name"))
        last: int | None = 0
        while last is not None:
            begin, last = last, None
            for rows in self._rows(types=types, since=since, until=until, after=begin):
                last = rows[-1][0]
                yield _chunk(rows, types)

    @staticmethod
    def _rows(
        *, types: dict[int, str], since: int | None, until: int, after: int
    ) -> Iterator[Sequence[tuple[Any, ...]]]:
        places = ", ".join(["%s"] * len(types)) or "NULL"
        with connection.cursor() as cursor:
            cursor.execute(
                f"""
                SELECT e.id, e.profile_id, e.item, e.type_id, e.at, e.value, CASE WHEN e.item IS NULL THEN e.props END
                FROM marketing_event e WHERE e.id > %s AND +e.type_id IN ({places}) AND e.at >= %s AND e.at < %s
                AND (e.item IS NOT NULL OR e.type_id IN (SELECT id FROM marketing_eventtype WHERE name = %s))
                AND e.profile_id IN (
                    SELECT c.profile_id FROM marketing_consent c WHERE c.purpose = %s AND c.granted AND NOT EXISTS (
                        SELECT 1 FROM marketing_consent l WHERE l.profile_id = c.profile_id AND l.purpose = c.purpose
                        AND (l.at > c.at OR (l.at = c.at AND l.id > c.id))
                    )
                ) AND e.profile_id NOT IN (SELECT o.id FROM marketing_profile o WHERE o.is_objector)
                ORDER BY e.id LIMIT %s
                """,  # noqa: S608 - the places of parameters
                (after, *types, 0 if since is None else since, until, ORDER, Purpose.PERSONALIZATION, CHUNK),
            )
            while rows := cursor.fetchmany(FETCHED):
                yield rows

    def recent_items(self, *, user_id: str, event_types: Sequence[str], limit: int) -> Sequence[RecentEvent]:
        """Return the newest events of one person that name an item, newest first."""
        # An order of many items is one row: a few rows more are read than items are asked for, never fewer.
        rows = self._history(user_id, event_types).order_by("-at", "-pk")[: max(limit, 0)]
        events = [
            RecentEvent(item_id=item, event_type=name, at=at, value=value)
            for name, at, item_id, micro, props in rows
            for item, value in items_of(item_id, micro, props)
        ]
        return events[:limit]

    def recent_items_many(
        self, *, user_ids: Sequence[str], event_types: Sequence[str], limit: int, before: int | None = None
    ) -> dict[str, Sequence[RecentEvent]]:
        """Return `recent_items` of many people at once."""
        people = [int(user_id) for user_id in user_ids if user_id.isdecimal()]
        mine = Event.objects.filter(_agreed(), profile_id__in=people, type__name__in=event_types)
        if before is not None:
            mine = mine.filter(at__lt=before)
        newest = Window(RowNumber(), partition_by=F("profile_id"), order_by=(F("at").desc(), F("pk").desc()))
        rows = (
            mine.annotate(name=F("type__name"), rank=newest)
            .filter(rank__lte=limit)
            .order_by("profile_id", "rank")
            .values_list("profile_id", "name", "at", "item", "value", "props")
        )
        found: dict[str, list[RecentEvent]] = {}
        for profile_id, name, at, item_id, micro, props in rows:
            events = found.setdefault(str(profile_id), [])
            events += [
                RecentEvent(item_id=item, event_type=name, at=at, value=value)
                for item, value in items_of(item_id, micro, props)
            ]
        return {user_id: events[:limit] for user_id, events in found.items()}

    def sample_users(self, *, limit: int) -> Sequence[str]:
        """Return a few people, always the same, who did something and agreed."""
        known = Profile.objects.filter(merged_into=None, last_seen_at__isnull=False)
        agreed = known.annotate(profile_id=F("pk")).filter(_agreed())
        return [str(pk) for pk in agreed.order_by("sample_bucket", "pk").values_list("pk", flat=True)[:limit]]

    def describe_users(self, *, user_ids: Sequence[str] | None = None) -> Mapping[str, Sequence[str]]:
        """Return the segments people are in, unless they use a protected trait."""
        neutral = neutral_segments() if user_ids is None else recent_neutral_segments()
        names = {pk: f"segment={slug}" for pk, slug in neutral.items()}
        rows = Membership.objects.filter(_agreed(), segment__in=names)
        if user_ids is not None:
            rows = rows.filter(profile_id__in=[int(user_id) for user_id in user_ids if user_id.isdecimal()])
        found: dict[str, tuple[str, ...]] = {}
        for profile_id, segment_id in (
            rows.order_by("profile_id", "segment_id")
            .values_list("profile_id", "segment_id")
            .iterator(chunk_size=FETCHED)
        ):
            found[str(profile_id)] = (*found.get(str(profile_id), ()), names[segment_id])
        return found

    def exposed_arms(self, *, until: int) -> Sequence[ExposedArm]:
        """Return who met which arm of the experiments that run, as people."""
        import numpy as np

        winners = {str(loser): str(winner) for loser, winner in ProfileAlias.objects.values_list("loser", "winner")}
        arms = []
        for group in list_exposed(unit_type=PROFILE, until=until):
            units = sorted((winners.get(unit, unit), first_at) for unit, first_at in group.units)
            arms.append(
                ExposedArm(
                    experiment=group.experiment,
                    arm=group.arm,
                    is_control=group.is_control,
                    user_id=np.array([unit for unit, _ in units], dtype=np.str_),
                    first_at=np.array([first_at for _, first_at in units], dtype=np.int64),
                )
            )
        return arms

    def seen_items(self, *, user_id: str, event_types: Sequence[str]) -> Sequence[str]:
        """Return every distinct item of one person's events of these types."""
        rows = self._history(user_id, event_types)
        found = (item for _, _, item_id, micro, props in rows for item, _ in items_of(item_id, micro, props))
        return list(dict.fromkeys(found))

    @staticmethod
    def _history(user_id: str, event_types: Sequence[str]) -> Any:
        if not user_id.isdecimal():
            return Event.objects.none()
        mine = Event.objects.filter(_agreed(), profile_id=int(user_id), type__name__in=event_types)
        return mine.annotate(name=F("type__name")).values_list("name", "at", "item", "value", "props")


def _agreed() -> Exists:
    """Hold for events of people whose latest word on personalization is yes: without it nothing is read of them.

    Nor is anything of those who object to direct marketing.
    """
    latest = Consent.objects.filter(
        profile=OuterRef("profile_id"), purpose=Purpose.PERSONALIZATION, profile__is_objector=False
    )
    newest = Consent.objects.filter(profile=OuterRef("profile"), purpose=Purpose.PERSONALIZATION)
    return Exists(latest.filter(granted=True, pk=Subquery(newest.order_by("-at", "-pk").values("pk")[:1])))


def items_of(item: str | None, micro: int | None, props: Any) -> list[tuple[str, float | None]]:
    """Return (item, value in whole units) pairs of one event: its own item, or the products of an order."""
    if item:
        return [(item, None if micro is None else micro / MICRO)]
    products = props.get("products") if isinstance(props, dict) else None
    return [
        (str(product.get("product_id") or product.get("sku")), _price(product))
        for product in (products if isinstance(products, list) else ())
        if isinstance(product, dict) and (product.get("product_id") or product.get("sku"))
    ]


def _price(product: dict[str, Any]) -> float | None:
    price, quantity = product.get("price"), product.get("quantity", 1)
    if isinstance(price, int | float) and isinstance(quantity, int | float):
        return float(price * quantity)
    return None


def _chunk(rows: Sequence[tuple[Any, ...]], types: dict[int, str]) -> InteractionChunk:
    import numpy as np

    columns: tuple[list[Any], ...] = ([], [], [], [], [])
    for _, profile_id, item, type_id, at, micro, props in rows:
        decoded = json.loads(props) if item is None and isinstance(props, str) else props
        for name, value in items_of(item, micro, decoded):
            for column, one in zip(columns, (str(profile_id), name, types[type_id], at, value), strict=True):
                column.append(one)
    users, items, names, moments, values = columns
    return InteractionChunk(
        user_id=np.array(users, dtype=np.str_),
        item_id=np.array(items, dtype=np.str_),
        event_type=np.array(names, dtype=np.str_),
        at=np.array(moments, dtype=np.int64),
        value=np.array([np.nan if value is None else value for value in values], dtype=np.float64),
    )
