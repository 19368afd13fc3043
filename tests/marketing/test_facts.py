"""The one event log through the ports of experiments and of the recommender."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest

from experiments.services.exposure import ExposureRow, record_many
from marketing.choices import MergeReason, Purpose
from marketing.facts import EventFacts, Interactions, interactions
from marketing.models import Profile
from marketing.segmentation.clock import to_micros
from marketing.services.identity import merge
from tests.factories.experiments import make_experiment
from tests.factories.marketing import NOW, give_consent, make_profile, send, track

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def rows_of(table: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = EventFacts().execute(table).to_pylist()
    return sorted(found, key=lambda row: (row.get("at") or row.get("first_at"), row["unit"]))


def test_events__types_and_properties__are_named_columns() -> None:
    profile = make_profile(user_id="u1")
    send(
        track("Recommendation Clicked", user="u1", at=NOW - DAY, experiment="exp", product_id="p1", value=2),
        track("Recommendation Clicked", user="u1", at=NOW, experiment=7),
        track("Page Viewed", user="u1"),
    )
    table = EventFacts().events(
        event_types=["Recommendation Clicked", "Never Seen"], properties=["experiment", "product_id", "missing"]
    )

    assert rows_of(table) == [
        {
            "unit": profile.pk,
            "type": "Recommendation Clicked",
            "at": to_micros(NOW - DAY),
            "value": 2_000_000,
            "property_experiment": "exp",
            "property_product_id": "p1",
            "property_missing": None,
        },
        {
            "unit": profile.pk,
            "type": "Recommendation Clicked",
            "at": to_micros(NOW),
            "value": None,
            "property_experiment": None,
            "property_product_id": None,
            "property_missing": None,
        },
    ]


def test_events__refund__has_the_moment_of_its_order_and_is_negative() -> None:
    make_profile(user_id="u1")
    make_profile(user_id="u2")
    send(
        track("Order Completed", user="u1", at=NOW - 9 * DAY, revenue=10, order_id="o1"),
        track("Order Completed", user="u2", at=NOW - 8 * DAY, revenue=20, order_id="o2"),
        track("Order Refunded", user="u1", at=NOW - DAY, revenue=4, order_id="o1"),
        track("Order Refunded", user="u1", at=NOW - 2 * DAY, revenue=1, order_id="o2"),
        track("Order Refunded", user="u1", at=NOW - 3 * DAY, revenue=1),
    )
    table = EventFacts().events(event_types=["Order Completed", "Order Refunded"], properties=[])
    found = [(row["type"], row["at"], row["value"]) for row in rows_of(table)]

    assert sorted(found) == sorted(
        [
            ("Order Completed", to_micros(NOW - 9 * DAY), 10_000_000),
            ("Order Completed", to_micros(NOW - 8 * DAY), 20_000_000),
            ("Order Refunded", to_micros(NOW - 9 * DAY), -4_000_000),
            ("Order Refunded", to_micros(NOW - 2 * DAY), -1_000_000),  # somebody else's order
            ("Order Refunded", to_micros(NOW - 3 * DAY), -1_000_000),
        ]
    )


def test_events__unknown_types__are_no_rows() -> None:
    send(track("Page Viewed", user="u1"))

    assert rows_of(EventFacts().events(event_types=["Never Seen"], properties=[])) == []


def test_exposures__merged_profile__counts_for_its_winner() -> None:
    experiment = make_experiment(status="running")
    arm = experiment.arms.order_by("position").first()
    assert arm is not None
    winner, loser, other = make_profile(), make_profile(user_id="old"), make_profile()
    late = to_micros(experiment.started_at or NOW) + 10
    recorded = record_many(
        rows=[
            ExposureRow(experiment.key, "profile", str(profile.pk), arm.key, 1, late + index)
            for index, profile in enumerate((winner, loser, other))
        ]
    )
    merge(winner_id=winner.pk, loser_id=loser.pk, reason=MergeReason.MANUAL, at=NOW)
    table = rows_of(EventFacts().exposures(experiment_key=experiment.key))

    assert recorded.accepted == 3
    assert [row["unit"] for row in table] == [winner.pk, winner.pk, other.pk]
    assert {(row["arm"], row["phase"]) for row in table} == {(arm.key, 1)}


def _interact(**consents: bool) -> dict[str, Profile]:
    people = {}
    for name, granted in consents.items():
        people[name] = make_profile(user_id=name)
        give_consent(people[name], Purpose.PERSONALIZATION, granted=granted)
        send(
            track("Product Viewed", user=name, product_id="p1", at=NOW - 3 * DAY),
            track("Product Viewed", user=name, at=NOW - 3 * DAY),
            track(
                "Order Completed",
                user=name,
                at=NOW - 2 * DAY,
                revenue=9,
                products=[{"product_id": "p2", "price": 2, "quantity": 3}, {"sku": "p3"}, {"name": "x"}, 7],
            ),
            track("Product Added", user=name, product_id="p4", at=NOW - DAY, value=5),
        )
    return people


def _collected(**window: Any) -> list[tuple[Any, ...]]:
    types = ["Product Viewed", "Order Completed", "Product Added"]
    rows: list[tuple[Any, ...]] = []
    for chunk in Interactions().interactions(event_types=types, **window):
        columns = (chunk.user_id, chunk.item_id, chunk.event_type, chunk.at, chunk.value)
        rows += zip(*(column.tolist() for column in columns), strict=True)
    return [(*row[:4], None if math.isnan(row[4]) else row[4]) for row in rows]


@pytest.mark.parametrize("size", [1, 100_000])
def test_interactions__people_who_agreed__in_chunks_with_the_products_of_orders(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interactions, "CHUNK", size)
    yes = str(_interact(yes=True, no=False)["yes"].pk)

    assert _collected(since=None, until=to_micros(NOW)) == [
        (yes, "p1", "Product Viewed", to_micros(NOW - 3 * DAY), None),
        (yes, "p2", "Order Completed", to_micros(NOW - 2 * DAY), 6.0),
        (yes, "p3", "Order Completed", to_micros(NOW - 2 * DAY), None),
        (yes, "p4", "Product Added", to_micros(NOW - DAY), 5.0),
    ]
    bounded = _collected(since=to_micros(NOW - 2 * DAY), until=to_micros(NOW - DAY))
    assert [row[1] for row in bounded] == ["p2", "p3"]


def test_interactions__consent_withdrawn__none() -> None:
    profile = _interact(yes=True)["yes"]
    give_consent(profile, Purpose.PERSONALIZATION, granted=False, at=NOW + DAY)

    assert _collected(since=None, until=to_micros(NOW)) == []
    assert list(Interactions().interactions(since=None, until=1, event_types=[])) == []


def test_recent_and_seen_items__one_person__newest_first_in_one_query(django_assert_num_queries: Any) -> None:
    user = str(_interact(yes=True)["yes"].pk)
    types = ["Product Viewed", "Order Completed", "Product Added"]
    with django_assert_num_queries(1):
        recent = Interactions().recent_items(user_id=user, event_types=types, limit=3)
    with django_assert_num_queries(1):
        seen = Interactions().seen_items(user_id=user, event_types=types)

    assert [(one.item_id, one.event_type, one.value) for one in recent] == [
        ("p4", "Product Added", 5.0),
        ("p2", "Order Completed", 6.0),
        ("p3", "Order Completed", None),
    ]
    assert sorted(seen) == ["p1", "p2", "p3", "p4"]
    for stranger in ("", "x", "-1", "999999999"):
        assert not Interactions().recent_items(user_id=stranger, event_types=types, limit=3)
        assert not Interactions().seen_items(user_id=stranger, event_types=types)
