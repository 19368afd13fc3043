from __future__ import annotations

import dataclasses
import itertools
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from experiments.models import Exposure
from experiments.services import lifecycle, privacy
from experiments.services.exposure import ExposureRow, Rejected, microseconds, record_many
from tests.factories.experiments import STARTED, expose, make_experiment

pytestmark = pytest.mark.django_db

AT = microseconds(STARTED + timedelta(hours=2))
HOUR = 3_600_000_000


def _row(key: str, **change: Any) -> ExposureRow:
    fields: dict[str, Any] = {
        "experiment_key": key,
        "unit_type": "profile",
        "unit_id": "u1",
        "arm_key": "treatment",
        "phase": 1,
        "at": AT,
        "source": "page",
        "basis": {"consent": 3},
    }
    return ExposureRow(**{**fields, **change})


def test_record_many__new_rows__stored() -> None:
    experiment = make_experiment(status="running")
    result = record_many(rows=[_row(experiment.key), _row(experiment.key, unit_id="u2", arm_key="control")])
    assert (result.accepted, result.rejected) == (2, ())
    first, second = Exposure.objects.order_by("unit_id")
    assert (first.experiment, first.arm.key, first.phase.number) == (experiment, "treatment", 1)
    assert (first.unit_type, first.unit_id, first.first_at) == ("profile", "u1", AT)
    assert (first.source, first.basis) == ("page", {"consent": 3})
    assert second.arm.key == "control"


@pytest.mark.parametrize("order", list(itertools.permutations([0, 1, 2])))
@pytest.mark.parametrize("is_batch", [True, False])
def test_record_many__any_arrival_order__the_earliest_stays(order: tuple[int, ...], is_batch: bool) -> None:
    experiment = make_experiment(status="running")
    rows = [_row(experiment.key, at=AT + hour * HOUR, basis={"hour": hour}, source=f"s{hour}") for hour in order]
    for batch in [rows] if is_batch else [[row] for row in rows]:
        assert record_many(rows=batch).accepted == len(batch)
    stored = Exposure.objects.get()
    assert (stored.first_at, stored.basis, stored.source) == (AT, {"hour": 0}, "s0")


def test_record_many__two_arms_or_phases__two_rows() -> None:
    experiment = make_experiment(status="running")
    lifecycle.open_phase(experiment_key=experiment.key, at=STARTED + timedelta(days=1), coverage=0.5)
    rows = [
        _row(experiment.key),
        _row(experiment.key, arm_key="control"),
        _row(experiment.key, phase=2, at=AT + 48 * HOUR),
    ]
    assert record_many(rows=rows).accepted == 3
    assert Exposure.objects.count() == 3


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"experiment_key": "nothing"}, "unknown_experiment"),
        ({"arm_key": "nothing"}, "unknown_arm"),
        ({"phase": 2}, "unknown_phase"),
        ({"unit_type": "household"}, "unit_type"),
        ({"unit_id": ""}, "bad_unit"),
        ({"unit_id": "x" * 201}, "bad_unit"),
        ({"unit_id": "a\x00b"}, "bad_unit"),
        ({"unit_id": "\ud83d"}, "bad_unit"),
        ({"source": "\x00"}, "bad_basis"),
        ({"basis": {"x": float("nan")}}, "bad_basis"),
        ({"basis": {"x": object()}}, "bad_basis"),
        ({"basis": {"x": "a\x00"}}, "bad_basis"),
        ({"basis": {"x": "\udc00"}}, "bad_basis"),
        ({"at": 2**63}, "bad_time"),
        ({"at": microseconds(STARTED) - 1}, "before_start"),
    ],
)
def test_record_many__bad_row__rejected_and_the_others_stored(change: dict[str, Any], reason: str) -> None:
    experiment = make_experiment(status="running")
    bad = _row(experiment.key, **change)
    result = record_many(rows=[_row(experiment.key, unit_id="before"), bad, _row(experiment.key, unit_id="after")])
    assert result.rejected == (Rejected(1, reason),)
    assert result.accepted == 2
    assert set(Exposure.objects.values_list("unit_id", flat=True)) == {"before", "after"}


@pytest.mark.parametrize(
    "change",
    [
        {"unit_id": "漢字-é-😀"},
        {"basis": {"path": "a\\u0000", "emoji": "😀", "list": [1, None]}},
        {"basis": {}},
        {"source": "s" * 70},
        {"at": microseconds(STARTED)},
    ],
)
def test_record_many__unusual_row__stored(change: dict[str, Any]) -> None:
    experiment = make_experiment(status="running")
    assert record_many(rows=[_row(experiment.key, **change)]).rejected == ()
    stored = Exposure.objects.get()
    expected = dataclasses.replace(_row(experiment.key, **change), source=_row(experiment.key, **change).source[:64])
    assert (stored.unit_id, stored.basis, stored.source) == (expected.unit_id, expected.basis, expected.source)


def test_record_many__draft__not_started() -> None:
    experiment = make_experiment()
    assert [row.reason for row in record_many(rows=[_row(experiment.key)]).rejected] == ["not_started"]


@pytest.mark.parametrize(
    ("status", "reason"),
    [("paused", "paused"), ("stopped", "stopped"), ("decided", "stopped"), ("archived", "stopped")],
)
def test_record_many__enrolment_ended__late_rows_only(status: str, reason: str) -> None:
    experiment = make_experiment(status=status)
    ended_at = experiment.enrolment_ended_at
    assert ended_at is not None
    late = _row(experiment.key, unit_id="late", at=microseconds(ended_at) - 1)
    new = _row(experiment.key, unit_id="new", at=microseconds(ended_at))
    result = record_many(rows=[late, new])
    assert result.rejected == (Rejected(1, reason),)
    assert Exposure.objects.get().unit_id == "late"


def test_record_many__resumed__accepted_again() -> None:
    experiment = make_experiment(status="paused")
    lifecycle.resume(experiment_key=experiment.key, at=STARTED + timedelta(days=15))
    late = microseconds(STARTED + timedelta(days=16))
    assert record_many(rows=[_row(experiment.key, at=late)]).rejected == ()


def test_record_many__large_batch__few_statements() -> None:
    experiment = make_experiment(status="running")
    rows = (_row(experiment.key, unit_id=str(number)) for number in range(2_500))
    with CaptureQueriesContext(
        connection,
    ) as queries:
        result = record_many(rows=rows)
    assert (result.accepted, Exposure.objects.count()) == (2_500, 2_500)
    assert len(queries) == 1 + 3 + 1  # what may be recorded; a thousand rows a statement; the units that have news


def test_record_many__nothing__nothing() -> None:
    assert record_many(rows=[]).accepted == 0


def test_record_many__caller_rolls_back__nothing_stored() -> None:
    experiment = make_experiment(status="running")
    with transaction.atomic():
        record_many(rows=[_row(experiment.key)])
        transaction.set_rollback(True)
    assert not Exposure.objects.exists()


def test_forget__exposed_unit__only_its_rows_go() -> None:
    first, second = make_experiment(status="running"), make_experiment(status="running")
    for experiment in (first, second):
        expose(experiment, "u1", "u2")
    assert privacy.forget(unit_type="profile", unit_id="u1") == 2
    assert set(Exposure.objects.values_list("unit_id", flat=True)) == {"u2"}
    assert privacy.forget(unit_type="household", unit_id="u2") == 0


def test_export__exposed_unit__every_row() -> None:
    experiment = make_experiment(status="running")
    expose(experiment, "u1", at=STARTED + timedelta(hours=1))
    expose(experiment, "u1", arm="control")
    rows = privacy.export(unit_type="profile", unit_id="u1")
    assert [(row["experiment"], row["arm"]) for row in rows] == [
        (experiment.key, "control"),
        (experiment.key, "treatment"),
    ]
    assert rows[0]["first_at"] == microseconds(STARTED)
    assert privacy.export(unit_type="profile", unit_id="u3") == []


def test_forget_many__several_batches__all_their_rows_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privacy, "BATCH", 2)
    experiment = make_experiment(status="running")
    expose(experiment, "u1", "u2", "u3", "u4")
    assert privacy.forget_many(unit_type="profile", unit_ids=["u1", "u2", "u3", "nobody"]) == 3
    assert list(Exposure.objects.values_list("unit_id", flat=True)) == ["u4"]
