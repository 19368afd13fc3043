"""The incremental state: whatever happens in whatever order, it equals the full computation to the bit."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments.facts.expressions import PlannedMetric
from experiments.models import DirtyUnit, Experiment, FactsState, StaleUnit
from experiments.ports import MICRO, MetricDefinition, Part, PropertyFilter
from experiments.services import state
from experiments.services.dirty import drop_states, mark_dirty, spread_marks, state_folder
from experiments.services.exposure import ExposureRow, microseconds, record_many
from experiments.services.state import update_totals
from experiments.services.totals import UnitTotals, load_totals
from marketing.choices import MergeReason
from marketing.facts import EventFacts
from marketing.models import Merge, Profile
from marketing.services.identity import merge, undo_merge
from marketing.services.privacy import erase_profile
from tests.factories.experiments import STARTED, make_experiment
from tests.factories.marketing import NOW, make_profile, send, track

pytestmark = pytest.mark.django_db

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ORDERS = ("Order Completed", "Order Refunded")
CART = ("Product Viewed",)
DEFINITIONS = (
    MetricDefinition(("Order Completed",), "exists", window_hours=72, lookback_days=7),
    MetricDefinition(
        ORDERS, "sum", window_hours=72, lookback_days=7, scale=MICRO, denominator=Part(("Order Completed",), "count")
    ),
    MetricDefinition(("Order Completed",), "max", window_hours=72, scale=MICRO),
    MetricDefinition(CART, "distinct", window_hours=72, lookback_days=7, value_property="product_id"),
    MetricDefinition(("Order Completed",), "first", window_hours=72, lookback_days=7, scale=MICRO),
    MetricDefinition(("Order Completed",), "last", window_hours=72, value_property="items", scale=MICRO),
    MetricDefinition(("Order Completed",), "exists", window_hours=72, lookback_days=7, after=CART),
    MetricDefinition(("Order Completed",), "sum", window_hours=72, scale=MICRO, quantile=0.9, per_event=True),
    MetricDefinition(CART, "exists", window_hours=24, delay_hours=24, filters=(PropertyFilter("items", "2", "gte"),)),
)
METRICS = [PlannedMetric(index, f"m{index}", definition) for index, definition in enumerate(DEFINITIONS)]
FRAME: dict[str, Any] = {"metrics": METRICS, "arms": ["control", "treatment"], "phases": [1]}


def step(experiment: Experiment, at: datetime) -> tuple[UnitTotals, UnitTotals]:
    """The incremental and the full computation as of `at`."""
    facts, until = EventFacts(), microseconds(at)
    incremental = update_totals(facts=facts, experiment=experiment, until=until, **FRAME)
    return incremental, load_totals(facts=facts, experiment=experiment, until=until, **FRAME)


def assert_equal(experiment: Experiment, at: datetime) -> None:
    incremental, full = step(experiment, at)
    assert incremental.fingerprint == full.fingerprint
    assert (incremental.multi_arm, incremental.multi_arm_n) == (full.multi_arm, full.multi_arm_n)


def expose(experiment: Experiment, profile: Profile, arm: str, at: datetime) -> None:
    row = ExposureRow(experiment.key, "profile", str(profile.pk), arm, 1, microseconds(at))
    assert not record_many(rows=[row]).rejected


people_ = st.integers(0, 5)
# Some lie before the exposures, some in the future of the look that sees them first.
hours = st.integers(-200, 400)
happening = st.one_of(
    st.tuples(st.just("order"), people_, hours, st.integers(0, 3)),
    st.tuples(st.just("view"), people_, hours, st.integers(0, 3)),
    st.tuples(st.just("refund"), people_, hours, st.integers(0, 3)),
    st.tuples(st.just("expose"), people_, st.integers(0, 300), st.integers(0, 1)),
    st.tuples(st.just("merge"), people_, people_, st.just(0)),
    st.tuples(st.just("undo"), st.just(0), st.just(0), st.just(0)),
    st.tuples(st.just("erase"), people_, st.just(0), st.just(0)),
    st.tuples(st.just("look"), st.integers(1, 60), st.just(0), st.just(0)),
)


def happen(experiment: Experiment, people: list[Profile], what: tuple[str, int, int, int]) -> None:
    kind, number, at, more = what
    user, moment = f"h{number}", STARTED + at * HOUR
    properties: dict[str, Any] = {
        "revenue": 5.0 + more,
        "order_id": f"{number}-{more}",
        "product_id": f"x{more}",
        "items": more,
    }
    alive = Profile.objects.filter(pk=people[number].pk, merged_into=None).exists()
    if kind in ("order", "refund", "view"):
        name = {"order": "Order Completed", "refund": "Order Refunded", "view": "Product Viewed"}[kind]
        # The same message twice: the second is a duplicate and changes nothing.
        message = track(name, user=user, at=moment, message_id=f"{kind}-{number}-{at}-{more}", **properties)
        send(message, message, at=STARTED + 30 * DAY)
    elif kind == "expose":
        expose(experiment, people[number], ("control", "treatment")[more], moment)
    elif kind == "merge":
        other = Profile.objects.filter(pk=people[at].pk, merged_into=None).exists()
        if alive and other and number != at:
            merge(winner_id=people[number].pk, loser_id=people[at].pk, reason=MergeReason.MANUAL, at=STARTED)
    elif kind == "undo":
        last = Merge.objects.filter(undone_at=None).order_by("-pk").first()
        if last is not None:
            undo_merge(merge_id=last.pk, at=STARTED)
    elif kind == "erase" and alive:
        erase_profile(profile_id=people[number].pk, at=NOW)


def check(happenings: list[tuple[str, int, int, int]]) -> None:
    """Let it happen, and compare at each look."""
    with transaction.atomic():
        experiment = make_experiment(status="running")
        people = [make_profile(user_id=f"h{number}") for number in range(6)]
        for number, profile in enumerate(people[:4]):
            expose(experiment, profile, ("control", "treatment")[number % 2], STARTED + DAY)
        at = STARTED + 5 * DAY
        assert_equal(experiment, at)
        for what in happenings:
            if what[0] == "look":
                at += what[1] * HOUR
                assert_equal(experiment, at)
            else:
                happen(experiment, people, what)
        assert_equal(experiment, at)
        assert_equal(experiment, STARTED + 40 * DAY)
        transaction.set_rollback(True)


lists = st.lists(happening, min_size=5, max_size=25)
of_examples: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}


@pytest.mark.no_cover
@settings(max_examples=3, derandomize=True, **of_examples)
@given(happenings=lists)
def test_update_totals__anything_in_any_order__equals_the_full_computation(
    happenings: list[tuple[str, int, int, int]],
) -> None:
    check(happenings)


@pytest.mark.slow
@settings(max_examples=100, **of_examples)
@given(happenings=lists)
def test_update_totals__a_hundred_histories__equal_the_full_computation(
    happenings: list[tuple[str, int, int, int]],
) -> None:
    check(happenings)


@pytest.fixture
def shop() -> tuple[Experiment, list[Profile]]:
    experiment = make_experiment(status="running")
    people = [make_profile() for _ in range(20)]
    for number, profile in enumerate(people):
        expose(experiment, profile, ("control", "treatment")[number % 2], STARTED + DAY)
    return experiment, people


def buy(profile: Profile, at: datetime) -> None:
    user = profile.identities.get().value
    send(track("Order Completed", user=user, at=at, revenue=10.0), at=STARTED + 30 * DAY)


def recomputed_n(experiment: Experiment) -> int:
    return FactsState.objects.get(experiment=experiment).recomputed_n


def test_update_totals__news_of_one_unit__computes_one_unit(shop: tuple[Experiment, list[Profile]]) -> None:
    experiment, people = shop
    assert_equal(experiment, STARTED + 5 * DAY)
    assert recomputed_n(experiment) == 20
    assert_equal(experiment, STARTED + 6 * DAY)
    assert recomputed_n(experiment) == 0
    buy(people[3], STARTED + 2 * DAY)
    assert_equal(experiment, STARTED + 6 * DAY)
    assert recomputed_n(experiment) == 1
    assert not StaleUnit.objects.exists()
    assert not DirtyUnit.objects.exists()


def test_update_totals__event_of_tomorrow__counts_tomorrow(shop: tuple[Experiment, list[Profile]]) -> None:
    experiment, people = shop
    buy(people[3], STARTED + 3 * DAY)
    before, _ = step(experiment, STARTED + 2 * DAY)
    assert not before.metrics[0].totals.any()
    assert StaleUnit.objects.get().unit == str(people[3].pk)
    after, full = step(experiment, STARTED + 4 * DAY)
    assert after.metrics[0].totals.sum() == 1
    assert after.fingerprint == full.fingerprint
    assert recomputed_n(experiment) == 1


def test_update_totals__many_stale__computes_everybody(shop: tuple[Experiment, list[Profile]]) -> None:
    experiment, people = shop
    step(experiment, STARTED + 5 * DAY)
    for profile in people[:10]:
        buy(profile, STARTED + 2 * DAY)
    assert_equal(experiment, STARTED + 5 * DAY)
    assert recomputed_n(experiment) == 20


def test_update_totals__other_metrics__start_anew(shop: tuple[Experiment, list[Profile]]) -> None:
    experiment, _people = shop
    step(experiment, STARTED + 5 * DAY)
    found = update_totals(
        facts=EventFacts(),
        experiment=experiment,
        until=microseconds(STARTED + 5 * DAY),
        **{**FRAME, "metrics": METRICS[:1]},
    )
    assert len(found.metrics) == 1
    assert recomputed_n(experiment) == 20


@pytest.mark.parametrize("damage", ["lost", "torn", "older"])
def test_update_totals__file_that_cannot_be_used__computes_everybody(
    shop: tuple[Experiment, list[Profile]], damage: str
) -> None:
    experiment, _people = shop
    step(experiment, STARTED + 5 * DAY)
    token = FactsState.objects.get(experiment=experiment).token
    at = STARTED + 5 * DAY
    for path in state_folder().glob(f"{token}.*.arrow"):
        if damage == "lost":
            path.unlink()
        elif damage == "torn":
            path.write_bytes(path.read_bytes()[:100])
    if damage == "older":  # a replay of an earlier moment
        at -= DAY
    assert_equal(experiment, at)
    assert recomputed_n(experiment) == 20


def test_update_totals__killed_while_storing__keeps_what_was_in_force(
    shop: tuple[Experiment, list[Profile]], monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment, people = shop
    step(experiment, STARTED + 5 * DAY)
    buy(people[3], STARTED + 2 * DAY)
    kept = FactsState.objects.get(experiment=experiment).token

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(state, "_remove_others", killed)
        with pytest.raises(KeyboardInterrupt), transaction.atomic():
            step(experiment, STARTED + 5 * DAY)
    row = FactsState.objects.get(experiment=experiment)
    assert row.token == kept
    assert_equal(experiment, STARTED + 5 * DAY)


def test_drop_states__erasure__leaves_no_file(shop: tuple[Experiment, list[Profile]]) -> None:
    experiment, people = shop
    step(experiment, STARTED + 5 * DAY)
    token = FactsState.objects.get(experiment=experiment).token
    assert list(state_folder().glob(f"{token}.*"))
    erase_profile(profile_id=people[0].pk, at=NOW)
    assert not list(state_folder().glob(f"{token}.*"))
    drop_states(experiment_ids=[experiment.pk])  # nothing more to drop
    assert_equal(experiment, STARTED + 5 * DAY)
    assert FactsState.objects.get(experiment=experiment).units_n == 19


def test_spread_marks__experiment_that_no_longer_changes__has_no_state(
    shop: tuple[Experiment, list[Profile]],
) -> None:
    experiment, people = shop
    step(experiment, STARTED + 5 * DAY)
    mark_dirty(units=[])
    spread_marks()
    assert not DirtyUnit.objects.exists()
    mark_dirty(units=[str(people[0].pk)] * 2)
    assert DirtyUnit.objects.count() == 1
    Experiment.objects.filter(pk=experiment.pk).update(status="decided")
    spread_marks()
    assert not FactsState.objects.exists()
    assert not DirtyUnit.objects.exists()
