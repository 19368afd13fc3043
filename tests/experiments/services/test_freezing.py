"""Erasure leaves every planned result as it was: recomputed from nothing, through the real event log."""

from __future__ import annotations

import json
import math
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.definitions import MetricDefinition, Part
from experiments.models import Experiment, Exposure, FrozenUnit, Look, Snapshot
from experiments.reports import ExperimentReport, encode_report
from experiments.selectors import get_report
from experiments.services.analysis import analyze
from experiments.services.builtin_metrics import MetricDraft
from experiments.services.design import MetricSpec
from experiments.services.exposure import ExposureRow, microseconds, record_many
from experiments.services.freezing import FEWEST_IN_A_CELL, freeze
from experiments.services.metrics import define_metric
from experiments.services.refresh import refresh_experiment
from experiments.services.replay import replay_snapshot
from marketing.choices import MergeReason
from marketing.models import Event, Profile
from marketing.services.archive import archive_events
from marketing.services.identity import merge
from marketing.services.privacy import erase_profile
from tests.factories.experiments import STARTED, make_experiment
from tests.factories.marketing import NOW, make_profile, send, track

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
AT = STARTED + timedelta(days=12, hours=5)
PEOPLE = 120


def define(key: str, kind: str, **definition: Any) -> None:
    parts = {"event_types": ("Order Completed",), "window_hours": 48, **definition}
    define_metric(draft=MetricDraft(key=key, name=key, description="", kind=kind, definition=MetricDefinition(**parts)))


@pytest.fixture
def shop() -> tuple[Experiment, list[Profile]]:
    """People over eight days in Berlin's evenings and nights, orders before and after, every kind of metric."""
    define("orders_per_view", "ratio", aggregation="count", denominator=Part(("Product Viewed",), "count"))
    define("typical_order", "quantile", aggregation="sum", quantile=0.5, per_event=True)
    metrics = (
        MetricSpec("conversion", "primary"),
        MetricSpec("revenue", "secondary", window_hours=72),
        MetricSpec("orders_per_view", "secondary"),
        MetricSpec("typical_order", "secondary"),
    )
    experiment = make_experiment(status="running", metrics=metrics)
    rng = np.random.default_rng(5)
    people, messages = [], []
    for number in range(PEOPLE):
        person = make_profile(user_id=f"p{number}")
        people.append(person)
        first_at = STARTED + timedelta(seconds=int(rng.integers(60, 8 * 86_400)))
        arm = ("control", "treatment")[number % 2]
        expose(experiment, person, arm, first_at)
        user = f"p{number}"
        messages.append(track("Product Viewed", user=user, at=first_at + timedelta(hours=1), product_id="x"))
        if rng.random() < 0.5:
            messages.append(track("Order Completed", user=user, at=first_at - DAY, revenue=float(rng.integers(5, 90))))
        if rng.random() < 0.3 + 0.2 * (number % 2):
            late = timedelta(hours=int(rng.integers(1, 90)))
            messages.append(track("Order Completed", user=user, at=first_at + late, revenue=float(rng.integers(5, 90))))
    expose(experiment, people[8], "treatment", STARTED + 2 * DAY)  # seen in both arms
    send(*messages, at=AT)
    return experiment, people


def expose(experiment: Experiment, person: Profile, arm: str, at: datetime) -> None:
    row = ExposureRow(experiment.key, "profile", str(person.pk), arm, 1, microseconds(at))
    assert not record_many(rows=[row]).rejected


def refreshed(experiment: Experiment, at: datetime) -> ExperimentReport:
    assert refresh_experiment(experiment_id=experiment.pk, at=at).status == "ok"
    report = get_report(experiment_key=experiment.key)
    assert report is not None
    return report


def planned(report: ExperimentReport) -> dict[str, Any]:
    """What erasure may not change: everything but single days since exposure and groups."""
    data = json.loads(json.dumps(encode_report(report)))
    for metric in data["metrics"]:
        for comparison in metric["comparisons"]:
            comparison["novelty"] = None
            comparison["daily"] = []
    srm = data["health"]["srm"] | {"any_day_p_value": None}  # over days, and those of erased people are coarse
    return {name: data[name] for name in ("arms", "metrics", "verdict")} | {"srm": srm}


def same(one: Any, other: Any) -> bool:
    """Equal, sums of floats in another order allowed."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)
    return bool(one == other)


def test_erase__people_of_a_running_experiment__results_recomputed_from_nothing_are_the_same(
    shop: tuple[Experiment, list[Profile]], settings: Any
) -> None:
    settings.REPORTING_TIME_ZONE = "Europe/Berlin"
    experiment, people = shop
    early = refreshed(experiment, AT - 3 * DAY)
    before = refreshed(experiment, AT)
    snapshots = list(Snapshot.objects.filter(status="ok").order_by("at").values_list("pk", flat=True))
    gone = [0, 1, 2, 3, 8, 17, 40, 77]  # 8 was seen in both arms
    for number in gone:
        erase_profile(profile_id=people[number].pk, at=NOW)
    assert FrozenUnit.objects.count() == len(gone)
    for pk in snapshots[-1:]:
        replay = replay_snapshot(snapshot_id=pk)
        assert replay.is_equal, replay.differences
        assert (replay.erased_n, replay.is_same_facts) == (len(gone), False)
    Snapshot.objects.all().delete()
    after = refreshed(experiment, AT)
    assert same(planned(before), planned(after))
    assert after.plan.frozen_n == len(gone)
    assert early.metrics[0].arms[0].mature_n < before.metrics[0].arms[0].mature_n


def test_erase__earlier_snapshot__keeps_who_was_in_and_whose_window_had_closed(
    shop: tuple[Experiment, list[Profile]],
) -> None:
    experiment, people = shop
    before = refreshed(experiment, AT - 3 * DAY)
    refreshed(experiment, AT)
    for number in range(0, 60, 3):
        erase_profile(profile_id=people[number].pk, at=NOW)
    Snapshot.objects.all().delete()
    after = refreshed(experiment, AT - 3 * DAY)
    for one, other in zip(before.metrics[:2], after.metrics[:2], strict=True):
        assert [(arm.exposed_n, arm.mature_n, arm.total, arm.nonzero_n) for arm in one.arms] == [
            (arm.exposed_n, arm.mature_n, arm.total, arm.nonzero_n) for arm in other.arms
        ]


def test_erase__nothing_leads_back__and_the_time_is_coarse(shop: tuple[Experiment, list[Profile]]) -> None:
    _, people = shop
    exact = Exposure.objects.get(unit_id=str(people[4].pk)).first_at
    erase_profile(profile_id=people[4].pk, at=NOW)
    row = FrozenUnit.objects.get()
    text = json.dumps([row.token, row.totals, row.arms])
    assert str(people[4].public_id) not in text
    assert set(row.totals) == {"conversion/1", "revenue/1", "orders_per_view/1", "typical_order/1"}
    assert row.first_at != exact
    assert 0 < row.first_at - exact <= 86_400_000_000
    assert not Event.objects.filter(profile_id=people[4].pk).exists()


def cells_of(experiment: Experiment) -> Counter[tuple[str, int]]:
    return Counter((row.arms[0], row.first_at) for row in FrozenUnit.objects.filter(experiment=experiment))


def test_erase__few_of_one_arm_and_day__share_a_cell_with_those_of_other_days(
    shop: tuple[Experiment, list[Profile]],
) -> None:
    experiment, people = shop
    before = refreshed(experiment, AT)
    looks = list(Look.objects.order_by("pk").values())
    gone = range(10, 34)
    for number in gone:
        erase_profile(profile_id=people[number].pk, at=NOW)
        assert sum(cells_of(experiment).values()) == number - 9
    cells = cells_of(experiment)
    # Whose windows closed before the snapshot does not mix with the others: between two cuts there is one cell too few.
    cut = microseconds(AT - 7 * DAY)
    assert {arm for arm, _ in cells} == {"control", "treatment"}
    for arm in ("control", "treatment"):
        sides = [[n for (one, at), n in cells.items() if one == arm and (at < cut) is early] for early in (True, False)]
        assert all(len(side) == 1 or min(side) >= FEWEST_IN_A_CELL for side in sides if side)
        assert sum(len(side) for side in sides) < len(gone) // 2 // 2
    Snapshot.objects.all().delete()
    assert same(planned(before), planned(refreshed(experiment, AT)))
    assert list(Look.objects.order_by("pk").values()) == looks


def test_erase__events_in_the_archive__recomputed_without_snapshots_the_results_are_the_same(
    shop: tuple[Experiment, list[Profile]], settings: Any, tmp_path: Path
) -> None:
    settings.DATA_DIR = tmp_path
    experiment, people = shop
    before = refreshed(experiment, AT)
    # Decided: its events may leave the database. The end of the experiment freezes nothing else.
    Experiment.objects.filter(pk=experiment.pk).update(status="decided")
    later = AT + 200 * DAY
    assert archive_events(at=later, keep_days=90).events_n > PEOPLE
    assert not Event.objects.exists()
    snapshot = Snapshot.objects.get(is_current=True)
    assert replay_snapshot(snapshot_id=snapshot.pk).is_equal
    for number in (0, 1, 17, 40):
        erase_profile(profile_id=people[number].pk, at=later)
    replay = replay_snapshot(snapshot_id=snapshot.pk)
    assert replay.is_equal, replay.differences
    assert replay.erased_n == 4
    Snapshot.objects.all().delete()
    after = analyze(experiment=Experiment.objects.get(pk=experiment.pk), at=AT).report
    assert same(planned(before), planned(after))


def test_erase__snapshot_between_two_people__keeps_their_cells_apart(shop: tuple[Experiment, list[Profile]]) -> None:
    experiment, _ = shop
    two = [make_profile(user_id=f"late{number}") for number in range(2)]
    for person, at in zip(two, (AT + DAY, AT + 3 * DAY), strict=True):
        expose(experiment, person, "treatment", at)
    refreshed(experiment, AT + 2 * DAY)
    for person in two:
        erase_profile(profile_id=person.pk, at=NOW)
    assert sorted(cells_of(experiment).values()) == [1, 1]
    Snapshot.objects.all().delete()  # nothing stored depends on the moment any more
    other = make_profile(user_id="late2")
    expose(experiment, other, "treatment", AT + 2 * DAY)
    erase_profile(profile_id=other.pk, at=NOW)
    assert sorted(cells_of(experiment).values()) == [3]


def test_erase__merged_person__is_one_frozen_unit(shop: tuple[Experiment, list[Profile]]) -> None:
    experiment, people = shop
    merge(winner_id=people[10].pk, loser_id=people[12].pk, reason=MergeReason.MANUAL, at=AT)
    before = refreshed(experiment, AT)
    erase_profile(profile_id=people[12].pk, at=NOW)
    assert FrozenUnit.objects.count() == 1
    assert same(planned(before), planned(refreshed(experiment, AT)))


def test_erase__withdrawn_in_the_middle_of_a_window__outcome_stays_what_it_was(
    shop: tuple[Experiment, list[Profile]],
) -> None:
    experiment, _ = shop
    person = make_profile(user_id="late")
    expose(experiment, person, "treatment", AT)
    send(track("Order Completed", user="late", at=AT + timedelta(hours=1), revenue=10.0), at=AT + timedelta(hours=2))
    erase_profile(profile_id=person.pk, at=NOW)
    report = refreshed(experiment, AT + 5 * DAY)
    assert report.plan.exposed_n == PEOPLE  # one of them was seen in two arms, and the late one counts
    row = FrozenUnit.objects.get()
    assert row.totals["conversion/1"][0] == 1


def test_erase__person_without_exposure__freezes_nothing() -> None:
    person = make_profile(user_id="nobody")
    erase_profile(profile_id=person.pk, at=NOW)
    assert freeze(facts_unit="1", owners=[]) == 0
    assert not FrozenUnit.objects.exists()


def test_replay__from_aggregates__gives_the_stored_numbers_when_the_events_are_gone(
    shop: tuple[Experiment, list[Profile]],
) -> None:
    experiment, _ = shop
    refreshed(experiment, AT)
    snapshot = Snapshot.objects.get(is_current=True)
    assert replay_snapshot(snapshot_id=snapshot.pk).is_equal
    Event.objects.all()._raw_delete("default")
    Exposure.objects.all().delete()
    replay = replay_snapshot(snapshot_id=snapshot.pk, from_aggregates=True)
    assert replay.is_equal, replay.differences
    assert not replay_snapshot(snapshot_id=snapshot.pk).is_equal
