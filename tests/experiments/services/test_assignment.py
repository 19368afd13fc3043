from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import growthbook
import numpy as np
import pyarrow as pa
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments.errors import UnknownExperiment
from experiments.models import Experiment
from experiments.selectors import clear_config_cache, get_config
from experiments.selectors.ramp import coverage_in_force
from experiments.services import decision, lifecycle
from experiments.services.assignment import Assignment, assign, assign_many
from experiments.services.design import ArmSpec, create_layer
from experiments.services.ramp import raise_coverage
from experiments.targeting.clients import to_condition
from experiments.targeting.tree import parse
from tests.examples import examples
from tests.factories.experiments import STARTED, T0, expose, make_experiment

pytestmark = pytest.mark.django_db

NOW = STARTED + timedelta(days=1)
LATER = STARTED + timedelta(days=2)
UNITS = [f"user-{number}" for number in range(2_000)]
ODD_IDS = ["", "a", "😀", "\ud83d", "漢字", "é" * 30, "user 1", "0", "😀😀x"]
GERMANS = {"attribute": "country", "op": "eq", "value": "DE"}
THREE_ARMS = (
    ArmSpec(key="control", name="Control", weight=0.2, is_control=True, payload={"n": 0}),
    ArmSpec(key="a", name="A", weight=0.5, payload={"n": 1}),
    ArmSpec(key="b", name="B", weight=0.3, payload={"n": 2}),
)


def _assign(experiment: Experiment, unit_id: str, **change: Any) -> Assignment:
    arguments: dict[str, Any] = {"unit_type": "profile", "attributes": {}, "at": NOW, **change}
    return assign(experiment_key=experiment.key, unit_id=unit_id, **arguments)


def _assign_all(
    experiment: Experiment, unit_ids: Sequence[str], people: Sequence[dict[str, Any]] | None = None, **change: Any
) -> list[Assignment]:
    """Both ways, which must agree."""
    people = people or [{} for _ in unit_ids]
    names = {name for person in people for name in person}
    columns = {name: [person.get(name) for person in people] for name in names}
    aliases = change.pop("aliases", {})
    arguments: dict[str, Any] = {"unit_type": "profile", "at": NOW, **change}
    many = assign_many(
        experiment_key=experiment.key, unit_ids=unit_ids, attributes=columns, aliases=aliases, **arguments
    )
    one_by_one = [
        _assign(experiment, unit_id, attributes=person, aliases=aliases.get(unit_id, ()), **arguments)
        for unit_id, person in zip(unit_ids, people, strict=True)
    ]
    assert list(many) == one_by_one
    assert len(many) == len(unit_ids)
    assert many.is_in.tolist() == [assignment.is_in for assignment in one_by_one]
    return one_by_one


def test_assign__running__arm_with_its_payload() -> None:
    experiment = make_experiment(status="running", arms=THREE_ARMS, seed="seed")
    got = _assign(experiment, "b")
    assert got == Assignment(experiment.key, "a", {"n": 1}, 1, 0.2696, "split", True)
    assert _assign(experiment, "a").arm_key == "control"


def test_assign__many_units__shares_follow_weights() -> None:
    experiment = make_experiment(status="running", arms=THREE_ARMS, seed="shares")
    arms = [assignment.arm_key for assignment in _assign_all(experiment, UNITS)]
    for spec in THREE_ARMS:
        # Five standard errors; the seed is fixed, so this never flickers.
        assert (
            abs(arms.count(spec.key) / len(UNITS) - spec.weight) < 5 * (spec.weight * (1 - spec.weight) / 2_000) ** 0.5
        )


def test_assign__draft__not_started() -> None:
    experiment = make_experiment()
    assert {assignment.reason for assignment in _assign_all(experiment, ODD_IDS)} == {"not_started"}


def test_assign__unknown__raises() -> None:
    with pytest.raises(UnknownExperiment):
        assign(experiment_key="nothing", unit_type="profile", unit_id="u", attributes={}, at=NOW)
    with pytest.raises(UnknownExperiment):
        assign_many(experiment_key="nothing", unit_type="profile", unit_ids=["u"], attributes={}, at=NOW)


def test_assign__before_the_start__not_started() -> None:
    experiment = make_experiment(status="running")
    got = _assign_all(experiment, ODD_IDS, at=T0)
    assert [assignment.reason for assignment in got] == ["no_unit"] + ["not_started"] * (len(ODD_IDS) - 1)


def test_assign__another_unit_type__out() -> None:
    experiment = make_experiment(status="running")
    assert {assignment.reason for assignment in _assign_all(experiment, ODD_IDS, unit_type="household")} == {
        "unit_type"
    }


@pytest.mark.parametrize("status", ["stopped", "archived"])
def test_assign__ended__default(status: str) -> None:
    experiment = make_experiment(status=status)
    got = _assign_all(experiment, ODD_IDS)
    assert {(assignment.arm_key, assignment.reason, assignment.is_in) for assignment in got} == {
        (None, "stopped", False)
    }


def test_assign__coverage_raised__moves_nobody() -> None:
    experiment = make_experiment(status="running", arms=THREE_ARMS, coverage=0.3)
    before = _assign_all(experiment, UNITS)
    assert 0.2 < sum(assignment.is_in for assignment in before) / len(UNITS) < 0.4
    assert {assignment.reason for assignment in before if not assignment.is_in} == {"coverage"}
    lifecycle.open_phase(experiment_key=experiment.key, at=LATER, coverage=0.9)
    after = _assign_all(experiment, UNITS, at=LATER)
    assert all(new.arm_key == old.arm_key for old, new in zip(before, after, strict=True) if old.is_in)
    assert sum(assignment.is_in for assignment in after) > 1.5 * sum(assignment.is_in for assignment in before)


def test_assign__targeting__only_who_matches() -> None:
    experiment = make_experiment(status="running", targeting=GERMANS)
    people = [{"country": country} for country in ("DE", "FR", None, "DE")] + [{}]
    got = _assign_all(experiment, ["u1", "u2", "u3", "u4", "u5"], people)
    assert [assignment.is_in for assignment in got] == [True, False, False, True, False]
    assert [assignment.reason for assignment in got[1:3]] == ["targeting", "targeting"]


def test_assign_many__columns_of_other_libraries__agree_with_assign() -> None:
    rule = {"all": [{"attribute": "age", "op": "gte", "value": 18}, {"attribute": "vip", "op": "eq", "value": True}]}
    experiment = make_experiment(status="running", targeting=rule)
    ages, vips = [17, 18, 30, 40], [True, True, False, True]
    many = assign_many(
        experiment_key=experiment.key,
        unit_type="profile",
        unit_ids=np.array(["a", "b", "c", "d"]).tolist(),
        attributes={"age": np.array(ages), "vip": pa.array(vips), "unused": ["x"] * 4},  # type: ignore[dict-item]  # columns of any library are taken
        at=NOW,
    )
    assert many.is_in.tolist() == [False, True, False, True]


def test_assign_many__targeting_on_what_is_not_given__nobody() -> None:
    experiment = make_experiment(status="running", targeting=GERMANS)
    assert [assignment.reason for assignment in _assign_all(experiment, ["u1"])] == ["targeting"]


def test_assign_many__more_combinations_than_remembered__agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.services.assignment_columns._REMEMBERED_VALUES", 1)
    experiment = make_experiment(status="running", targeting=GERMANS)
    people = [{"country": country} for country in ("FR", "DE", "IT", "DE")]
    assert [assignment.is_in for assignment in _assign_all(experiment, ["a", "b", "c", "d"], people)] == [
        False,
        True,
        False,
        True,
    ]


def test_assign_many__column_of_another_length__refused() -> None:
    experiment = make_experiment(status="running")
    with pytest.raises(ValueError, match="'country' must have 2 values, got 1"):
        assign_many(
            experiment_key=experiment.key,
            unit_type="profile",
            unit_ids=["a", "b"],
            attributes={"country": ["DE"]},
            at=NOW,
        )


def test_assign__layer__two_experiments_share_nobody() -> None:
    create_layer(key="home", name="Home")
    first = make_experiment(status="running", layer_key="home", layer_upper=0.5)
    second = make_experiment(status="running", layer_key="home", layer_lower=0.5)
    in_first = [assignment.is_in for assignment in _assign_all(first, UNITS)]
    in_second = [assignment.is_in for assignment in _assign_all(second, UNITS)]
    assert all(one != other for one, other in zip(in_first, in_second, strict=True))
    assert 0.4 < sum(in_first) / len(UNITS) < 0.6
    arms = [_assign(first, unit).arm_key for unit, is_in in zip(UNITS, in_first, strict=True) if is_in]
    assert 0.4 < arms.count("control") / len(arms) < 0.6  # the layer's hash says nothing about the arm


def test_assign__new_weights__exposed_units_keep_arm_and_phase() -> None:
    experiment = make_experiment(status="running")
    before = dict(zip(UNITS, _assign_all(experiment, UNITS), strict=True))
    exposed = UNITS[:300]
    for unit in exposed:
        arm = before[unit].arm_key
        assert arm is not None
        expose(experiment, unit, arm=arm)
    lifecycle.open_phase(
        experiment_key=experiment.key, at=LATER, weights={"control": 0.1, "treatment": 0.9}, targeting=GERMANS
    )
    after = dict(zip(UNITS, _assign_all(experiment, UNITS, [{"country": "DE"}] * 1_999 + [{}], at=LATER), strict=True))
    for unit in exposed:
        assert (after[unit].arm_key, after[unit].phase, after[unit].reason) == (before[unit].arm_key, 1, "sticky")
        assert after[unit].is_in
    assert {after[unit].phase for unit in UNITS[300:]} == {2}
    moved = [unit for unit in UNITS[300:1_999] if before[unit].arm_key != after[unit].arm_key]
    assert len(moved) > 500


@pytest.mark.thorough
@pytest.mark.no_cover
@given(
    changes=st.lists(
        st.tuples(st.sampled_from(["phase", "raise"]), st.integers(1, 19), st.integers(1, 20)), min_size=1, max_size=4
    ),
    exposed=st.lists(st.integers(0, 99), unique=True, max_size=60),
)
@settings(max_examples=examples(8, full=25), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_assign__any_history_of_phases_and_steps__nobody_exposed_changes_arm(
    changes: list[tuple[str, int, int]], exposed: list[int]
) -> None:
    experiment = make_experiment(status="running", coverage=0.5)
    units, at = UNITS[:100], NOW
    kept: dict[str, str] = {}
    for kind, weight, share in changes:
        got = dict(zip(units, _assign_all(experiment, units, at=at), strict=True))
        assert all((got[unit].arm_key, got[unit].is_in) == (arm, True) for unit, arm in kept.items())
        for unit in (units[number] for number in exposed):
            assignment = got[unit]
            if assignment.is_in and assignment.arm_key is not None and assignment.phase is not None:
                kept.setdefault(unit, assignment.arm_key)
                expose(experiment, unit, arm=assignment.arm_key, phase=assignment.phase, at=at)
        at += timedelta(hours=1)
        if kind == "phase":
            weights = {"control": weight / 20, "treatment": 1 - weight / 20}
            lifecycle.open_phase(experiment_key=experiment.key, at=at, weights=weights, coverage=share / 20)
        elif share / 20 > coverage_in_force(phase=experiment.phases.current().get()):
            raise_coverage(experiment_key=experiment.key, coverage=share / 20, at=at)
            after = dict(zip(units, _assign_all(experiment, units, at=at), strict=True))
            assert all(after[unit].arm_key == one.arm_key for unit, one in got.items() if one.is_in)
    got = dict(zip(units, _assign_all(experiment, units, at=at), strict=True))
    assert all((got[unit].arm_key, got[unit].is_in) == (arm, True) for unit, arm in kept.items())


def test_assign__time_within_the_first_phase__first_phase() -> None:
    experiment = make_experiment(status="running")
    lifecycle.open_phase(experiment_key=experiment.key, at=LATER, weights={"control": 0.1, "treatment": 0.9})
    assert _assign(experiment, "u1", at=NOW).phase == 1
    assert _assign(experiment, "u1", at=LATER).phase == 2


def test_assign__paused__exposed_units_keep_their_arm_and_others_get_the_default() -> None:
    experiment = make_experiment(status="running")
    expose(experiment, "seen", arm="treatment")
    lifecycle.pause(experiment_key=experiment.key, at=LATER)
    got = _assign_all(experiment, ["seen", "new", ""], at=LATER)
    assert [(assignment.arm_key, assignment.reason) for assignment in got] == [
        ("treatment", "sticky"),
        (None, "paused"),
        (None, "no_unit"),
    ]


def test_assign__merged_profile__keeps_the_arm_of_the_earliest_exposure() -> None:
    experiment = make_experiment(status="running")
    expose(experiment, "old", arm="control", at=NOW)
    expose(experiment, "older", arm="treatment", at=STARTED)
    aliases = {"merged": ["old", "older"], "old": ["older"], "alone": []}
    got = _assign_all(experiment, ["merged", "old", "older", "alone"], aliases=aliases)
    assert [assignment.arm_key for assignment in got[:2]] == ["treatment", "treatment"]
    assert [assignment.reason for assignment in got] == ["sticky", "sticky", "split", "split"]


def test_assign__shipped__everyone_eligible_but_the_holdback() -> None:
    create_layer(key="home", name="Home")
    experiment = make_experiment(
        status="running", coverage=0.2, targeting=GERMANS, layer_key="home", layer_upper=0.3, seed="ship"
    )
    decision.decide(
        experiment_key=experiment.key, outcome="ship", arm_key="treatment", reason="It won.", at=LATER, holdback=0.1
    )
    people = [{"country": "DE"}] * 1_990 + [{"country": "FR"}] * 10
    got = _assign_all(experiment, [*UNITS, ""], [*people, {}], at=LATER)
    reasons = [assignment.reason for assignment in got]
    assert reasons[-1] == "no_unit"
    assert reasons[1_990:2_000] == ["targeting"] * 10
    assert 0.07 < reasons.count("holdback") / 1_990 < 0.13
    assert reasons.count("shipped") + reasons.count("holdback") == 1_990
    assert {(assignment.arm_key, assignment.is_in) for assignment in got if assignment.reason == "shipped"} == {
        ("treatment", False)
    }
    lifecycle.archive(experiment_key=experiment.key, at=LATER)
    assert [assignment.reason for assignment in _assign_all(experiment, UNITS, people, at=LATER)] == reasons[:-1]


def test_assign__holdback__is_no_slice_of_an_arm() -> None:
    experiment = make_experiment(status="running", seed="slice")
    before = [assignment.arm_key for assignment in _assign_all(experiment, UNITS)]
    decision.decide(
        experiment_key=experiment.key, outcome="ship", arm_key="treatment", reason="It won.", at=LATER, holdback=0.3
    )
    held = [arm for arm, got in zip(before, _assign_all(experiment, UNITS), strict=True) if got.reason == "holdback"]
    assert 0.4 < held.count("control") / len(held) < 0.6


def test_assign__decision_reverted__as_before() -> None:
    experiment = make_experiment(status="running")
    before = _assign_all(experiment, UNITS[:50])
    decision.decide(experiment_key=experiment.key, outcome="stop", reason="Harm.", at=LATER)
    assert {assignment.reason for assignment in _assign_all(experiment, UNITS[:50])} == {"stopped"}
    decision.revert(experiment_key=experiment.key, at=LATER)
    assert _assign_all(experiment, UNITS[:50]) == before


@pytest.fixture
def _warm(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine is, the cache stays fresh."""
    monkeypatch.setattr("experiments.selectors.config._is_fresh", lambda snapshot: True)


@pytest.mark.usefixtures("_warm")
def test_assign__warm__no_query() -> None:
    experiment = make_experiment(status="running", targeting=GERMANS)
    _assign(experiment, "u1")
    with CaptureQueriesContext(connection) as queries:
        for unit in UNITS[:20]:
            _assign(experiment, unit, attributes={"country": "DE"})
    assert len(queries) == 0


@pytest.mark.usefixtures("_warm")
def test_assign__later_phase__one_query_a_unit_or_batch() -> None:
    experiment = make_experiment(status="running")
    lifecycle.open_phase(experiment_key=experiment.key, at=NOW, coverage=0.9)
    get_config(experiment_key=experiment.key)
    with CaptureQueriesContext(connection) as queries:
        _assign(experiment, "u1", at=LATER)
    assert len(queries) == 1
    with CaptureQueriesContext(connection) as queries:
        assign_many(experiment_key=experiment.key, unit_type="profile", unit_ids=UNITS, attributes={}, at=LATER)
    assert len(queries) == 1


def test_assign__growthbook_client__agrees_on_every_unit() -> None:
    create_layer(key="home", name="Home")
    rule = {"any": [GERMANS, {"attribute": "segments", "op": "contains", "value": "vip"}]}
    experiment = make_experiment(
        status="running", arms=THREE_ARMS, coverage=0.7, targeting=rule, layer_key="home", layer_lower=0.1
    )
    assert experiment.layer is not None
    theirs = growthbook.Experiment(
        key=experiment.key,
        variations=[arm.key for arm in THREE_ARMS],
        weights=[arm.weight for arm in THREE_ARMS],
        coverage=0.7,
        hashAttribute="id",
        hashVersion=2,
        seed=experiment.seed,
        condition=to_condition(parse(rule)),
        filters=[{"seed": experiment.layer.seed, "attribute": "id", "hashVersion": 2, "ranges": [(0.1, 1.0)]}],
    )
    people: list[dict[str, Any]] = [{"country": "DE"}, {"country": "FR"}, {"segments": ["new", "vip"]}, {}]
    units = [*UNITS, *(f"😀{number}漢" for number in range(500))]
    attributes = [people[index % 4] for index in range(len(units))]
    ours = _assign_all(experiment, units, attributes)
    for unit, person, got in zip(units, attributes, ours, strict=True):
        result = growthbook.GrowthBook(attributes={**person, "id": unit}).run(theirs)
        assert (result.inExperiment, result.value if result.inExperiment else None) == (got.is_in, got.arm_key)


@pytest.mark.thorough
@given(
    unit_ids=st.lists(st.one_of(st.text(st.characters(), max_size=10), st.sampled_from(ODD_IDS)), max_size=12),
    country=st.sampled_from(["DE", "FR", None]),
    coverage=st.sampled_from([0.1, 0.5, 1.0]),
)
@settings(max_examples=examples(10, full=30), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_assign_many__any_ids__agrees_with_assign(unit_ids: list[str], country: str | None, coverage: float) -> None:
    experiment = make_experiment(status="running", arms=THREE_ARMS, targeting=GERMANS, coverage=coverage)
    _assign_all(experiment, unit_ids, [{"country": country}] * len(unit_ids))


def test_emergency_stop__running__default_within_the_time_of_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = make_experiment(status="running")
    clear_config_cache()
    clock = 1_000.0
    monkeypatch.setattr("experiments.selectors.config.time", SimpleNamespace(monotonic=lambda: clock))
    assert _assign(experiment, "u1").is_in
    # Another process stops it: this one is not told.
    Experiment.objects.filter(pk=experiment.pk).update(status="stopped", stopped_at=LATER, version=99)
    assert _assign(experiment, "u1").is_in
    clock += 2.0
    assert _assign(experiment, "u1").reason == "stopped"


def test_assignment__type_of_time__aware_datetime() -> None:
    experiment = make_experiment(status="running")
    with pytest.raises(TypeError):
        _assign(experiment, "u1", at=datetime(2026, 3, 3))  # noqa: DTZ001 (a naive time is what is refused)
