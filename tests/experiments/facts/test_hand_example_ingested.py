"""The hand example of docs/metrics.md through the real intake: merged, late, duplicate, refunded, foreign."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from experiments.facts.expressions import PlannedMetric, multi_arm_pairs, unit_totals
from experiments.ports import MICRO
from experiments.services.exposure import ExposureRow, microseconds, record_many
from experiments.services.metrics import BUILTIN
from marketing.choices import MergeReason
from marketing.facts import EventFacts
from marketing.models import ExchangeRate, Profile
from marketing.services.identity import merge, undo_merge
from tests.factories.experiments import STARTED, make_experiment
from tests.factories.marketing import make_profile, send, track

pytestmark = pytest.mark.django_db

T = STARTED + timedelta(hours=1)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
UNTIL = T + 30 * DAY
METRICS = [PlannedMetric(index, draft.key, draft.definition) for index, draft in enumerate(BUILTIN[:3])]


def people() -> dict[int, Profile]:
    return {number: make_profile(user_id=f"p{number}") for number in range(1, 13)}


def expose(key: str, profile: Profile, arm: str, at: datetime) -> None:
    row = ExposureRow(key, "profile", str(profile.pk), arm, 1, microseconds(at))
    assert not record_many(rows=[row]).rejected


def order(number: int, at: datetime, revenue: float, **more: Any) -> dict[str, Any]:
    return track("Order Completed", user=f"p{number}", at=at, revenue=revenue, **more)


def totals(key: str, found: dict[int, Profile]) -> dict[int, tuple[Any, ...]]:
    """Per person (by number): arm, converted, before, revenue, before, clicked."""
    facts = EventFacts()
    rows = facts.execute(unit_totals(facts, experiment_key=key, metrics=METRICS, until=microseconds(UNTIL))).to_pylist()
    numbers = {profile.pk: number for number, profile in found.items()}
    return {numbers[row["unit"]]: tuple(value for name, value in row.items() if name not in _FRAME) for row in rows}


_FRAME = {"unit", "phase", "first_at"}


@pytest.fixture
def example() -> tuple[str, dict[int, Profile]]:
    """Twelve people and forty messages, in the order in which they arrive."""
    key = make_experiment(status="running").key
    found = people()
    arms = {1: "control", 2: "control", 3: "treatment", 4: "treatment", 5: "control", 6: "control"}
    arms |= {7: "treatment", 8: "control", 9: "treatment", 10: "treatment", 11: "control", 12: "control"}
    for number, arm in arms.items():
        expose(key, found[number], arm, T)
    expose(key, found[5], "treatment", T + HOUR)
    expose(key, found[7], "treatment", T - HOUR)  # arrives late, counts first
    ExchangeRate.objects.create(currency="USD", day=T.date(), rate=Decimal("0.5"))
    clicks = [track("Recommendation Clicked", user="p10", at=T + n * HOUR, experiment=key) for n in (1, 2)]
    send(
        order(1, T + HOUR, 10.0, order_id="o1", message_id="m1"),
        order(1, T + HOUR, 10.0, order_id="o1", message_id="m1"),  # sent twice
        order(2, T - HOUR, 20.0),
        order(3, T + 7 * DAY, 99.0),
        order(3, T + 7 * DAY - timedelta(microseconds=1), 7.0),
        order(4, T, 5.0),
        order(5, T + HOUR, 50.0),
        order(7, T - timedelta(minutes=30), 4.0),
        order(8, T + HOUR, 30.0, order_id="o8"),
        order(9, T - HOUR - 14 * DAY, 60.0),
        order(9, T - 14 * DAY, 6.0),
        order(11, T + HOUR, 100.0, currency="USD"),
        order(12, T + HOUR, 8.0, currency="XAU"),  # no rate of that day: an order, no value
        *clicks,
        track("Recommendation Clicked", user="p10", at=T + HOUR, experiment="another"),
        track("Recommendation Clicked", user="p6", at=T + DAY, experiment=key),
        *[track("Product Viewed", user=f"p{n}", at=T + HOUR, product_id="x") for n in range(1, 13)],
        at=T + 8 * DAY,
    )
    # Known only weeks later: a refund, and an order of the window that was stuck on a phone.
    send(
        track("Order Refunded", user="p8", at=T + 20 * DAY, revenue=12.0, order_id="o8"),
        order(1, T + 2 * DAY, 1.0),
        at=T + 21 * DAY,
    )
    return key, found


def test_hand_example__ingested__gives_the_computed_integers(example: tuple[str, dict[int, Profile]]) -> None:
    key, found = example
    assert totals(key, found) == {
        1: ("control", 1, 0, 11 * MICRO, 0, 0),
        2: ("control", 0, 1, 0, 20 * MICRO, 0),
        3: ("treatment", 1, 0, 7 * MICRO, 0, 0),
        4: ("treatment", 1, 0, 5 * MICRO, 0, 0),
        6: ("control", 0, 0, 0, 0, 0),
        7: ("treatment", 1, 0, 4 * MICRO, 0, 0),
        8: ("control", 1, 0, 18 * MICRO, 0, 0),
        9: ("treatment", 0, 1, 0, 6 * MICRO, 0),
        10: ("treatment", 0, 0, 0, 0, 1),
        11: ("control", 1, 0, 50 * MICRO, 0, 0),
        12: ("control", 1, 0, 0, 0, 0),
    }


def test_hand_example__two_arms__counted_and_left_out(example: tuple[str, dict[int, Profile]]) -> None:
    key, found = example
    facts = EventFacts()
    expression = multi_arm_pairs(facts.exposures(experiment_key=key), until=microseconds(UNTIL))
    assert facts.execute(expression).to_pylist() == [
        {"unit": found[5].pk, "arm": "control"},
        {"unit": found[5].pk, "arm": "treatment"},
    ]


def test_hand_example__two_profiles_are_one_person__are_one_unit_until_undone(
    example: tuple[str, dict[int, Profile]],
) -> None:
    key, found = example
    before = totals(key, found)
    merged = merge(winner_id=found[1].pk, loser_id=found[6].pk, reason=MergeReason.MANUAL, at=UNTIL)
    after = totals(key, found)
    assert 6 not in after
    assert after[1] == ("control", 1, 0, 11 * MICRO, 0, 0)
    assert {number: row for number, row in after.items() if number != 1} == {
        number: row for number, row in before.items() if number not in {1, 6}
    }
    undo_merge(merge_id=merged.pk, at=UNTIL)
    assert totals(key, found) == before


def test_hand_example__person_merged_from_both_arms__is_quarantined(example: tuple[str, dict[int, Profile]]) -> None:
    key, found = example
    merge(winner_id=found[1].pk, loser_id=found[3].pk, reason=MergeReason.MANUAL, at=UNTIL)
    after = totals(key, found)
    assert 1 not in after
    assert 3 not in after


def test_refund__after_the_exposure_of_an_earlier_order__is_no_covariate(
    example: tuple[str, dict[int, Profile]],
) -> None:
    key, found = example
    send(
        order(6, T - DAY, 40.0, order_id="early"),
        track("Order Refunded", user="p6", at=T - HOUR, revenue=10.0, order_id="early"),
        track("Order Refunded", user="p6", at=T + HOUR, revenue=25.0, order_id="early"),
        at=T + 9 * DAY,
    )
    # 40 less the refund that was known at the exposure; the later one would carry the arm's effect into the covariate.
    assert totals(key, found)[6] == ("control", 0, 1, 0, 30 * MICRO, 0)


def test_refund__after_the_moment_of_the_analysis__is_not_known_to_it(
    example: tuple[str, dict[int, Profile]],
) -> None:
    key, found = example
    before = totals(key, found)
    send(track("Order Refunded", user="p8", at=UNTIL, revenue=18.0, order_id="o8"), at=UNTIL + DAY)
    assert totals(key, found) == before
