from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import growthbook.core
import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from experiments.errors import InvalidDesign
from experiments.models import ChangeLog, Experiment, Holdout
from experiments.selectors import list_holdouts
from experiments.services import decision
from experiments.services.assignment import assign, assign_many
from experiments.services.design import create_layer, remove_demo
from experiments.services.holdout import held_out_units, is_held_out, set_holdout
from tests.factories.experiments import STARTED, T0, expose, make_experiment

pytestmark = pytest.mark.django_db

UNITS = [str(number) for number in range(1_000)]
LATER = STARTED + timedelta(days=3)


def _reasons(experiment: Experiment, unit_ids: Sequence[str] = UNITS, *, at: datetime = LATER) -> list[str]:
    """Both ways, which must agree."""
    arguments: dict[str, Any] = {"experiment_key": experiment.key, "unit_type": "profile", "at": at}
    many = assign_many(unit_ids=unit_ids, attributes={}, **arguments)
    one_by_one = [assign(unit_id=unit_id, attributes={}, **arguments) for unit_id in unit_ids]
    assert list(many) == one_by_one
    return [assignment.reason for assignment in one_by_one]


def _held_out(at: datetime = LATER, layer_key: str = "") -> set[str]:
    """Both ways, which must agree."""
    held = held_out_units(unit_type="profile", unit_ids=UNITS, at=at, layer_key=layer_key)
    one_by_one = {unit for unit in UNITS if is_held_out(unit_type="profile", unit_id=unit, at=at, layer_key=layer_key)}
    assert held == one_by_one
    return held


def test_set_holdout__global__its_share_is_in_no_experiment() -> None:
    actor = User.objects.create_user("ana")
    set_holdout(share=0.1, at=T0, actor=actor, message="measure the whole")
    first, second = make_experiment(status="running"), make_experiment(status="running")
    held = _held_out()
    assert 0.06 < len(held) / len(UNITS) < 0.14
    for experiment in (first, second):
        reasons = _reasons(experiment)
        assert {unit for unit, reason in zip(UNITS, reasons, strict=True) if reason == "held_out"} == held
        assert set(reasons) == {"held_out", "split"}
    entry = ChangeLog.objects.get(object_type="holdout")
    assert (entry.actor, entry.message, entry.snapshot["share"]) == (actor, "measure the whole", 0.1)


def test_set_holdout__raised_and_lowered__same_salt_moves_few() -> None:
    days = [T0 + timedelta(days=day) for day in range(4)]
    for share, day in zip((0.1, 0.2, 0.05, 0.0), days, strict=True):
        set_holdout(share=share, at=day)
    small, large, smaller, none = (_held_out(at=day) for day in days)
    assert smaller < small < large
    assert none == set()


def test_set_holdout__redrawn__other_people() -> None:
    set_holdout(share=0.2, at=T0)
    set_holdout(share=0.2, at=STARTED, is_redrawn=True)
    before, after = _held_out(at=T0), _held_out(at=STARTED)
    assert len(before & after) / len(before) < 0.4


def test_is_held_out__past_days__told_from_the_versions() -> None:
    set_holdout(share=0.3, at=T0)
    day_one = _held_out(at=T0)
    set_holdout(share=0.1, at=STARTED, is_redrawn=True)
    assert _held_out(at=STARTED - timedelta(microseconds=1)) == day_one
    assert _held_out(at=T0 - timedelta(days=1)) == set()
    experiment = make_experiment(status="running")
    assert _reasons(experiment, at=LATER).count("held_out") == len(_held_out(at=LATER))
    assert [(version.number, version.ends_at) for version in list_holdouts()] == [(1, STARTED), (2, None)]
    assert not is_held_out(unit_type="household", unit_id=min(day_one), at=T0)


def test_set_holdout__of_a_layer__only_its_experiments() -> None:
    create_layer(key="home", name="Home")
    create_layer(key="mail", name="Mail")
    set_holdout(share=0.2, at=T0, layer_key="home")
    inside = make_experiment(status="running", layer_key="home")
    outside = [make_experiment(status="running"), make_experiment(status="running", layer_key="mail")]
    assert "held_out" in _reasons(inside)
    for experiment in outside:
        assert "held_out" not in _reasons(experiment)
    assert _held_out() == set()
    assert len(_held_out(layer_key="home")) == _reasons(inside).count("held_out")


def test_set_holdout__younger_than_the_experiment__exposed_units_keep_their_arm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    experiment = make_experiment(status="running")
    arms = {
        unit: assign(
            experiment_key=experiment.key, unit_type="profile", unit_id=unit, attributes={}, at=STARTED
        ).arm_key
        for unit in UNITS
    }
    for unit in UNITS[:500]:
        expose(experiment, unit, arm=arms[unit] or "")
    set_holdout(share=0.3, at=STARTED + timedelta(days=1))
    held = _held_out()
    reasons = dict(zip(UNITS, _reasons(experiment), strict=True))
    assert {reasons[unit] for unit in UNITS[:500] if unit in held} == {"sticky"}
    assert {reasons[unit] for unit in UNITS[500:] if unit in held} == {"held_out"}
    assert {reasons[unit] for unit in UNITS if unit not in held} == {"split"}
    free = next(unit for unit in UNITS if unit not in held)
    monkeypatch.setattr("experiments.selectors.config._is_fresh", lambda snapshot: True)
    with CaptureQueriesContext(connection) as queries:
        _reasons(experiment, [free])
    assert len(queries) == 0


def test_assign__global_and_layer_holdout__either_holds_out() -> None:
    create_layer(key="home", name="Home")
    set_holdout(share=0.2, at=T0)
    set_holdout(share=0.2, at=T0, layer_key="home")
    experiment = make_experiment(status="running", layer_key="home")
    assert _reasons(experiment).count("held_out") == len(_held_out() | _held_out(layer_key="home"))


def test_assign__shipped__held_out_units_get_the_default() -> None:
    set_holdout(share=0.2, at=T0)
    experiment = make_experiment(status="running")
    decision.decide(experiment_key=experiment.key, outcome="ship", arm_key="treatment", reason="yes", at=LATER)
    reasons = _reasons(experiment)
    held = {unit for unit, reason in zip(UNITS, reasons, strict=True) if reason == "held_out"}
    assert held == _held_out()
    assert set(reasons) == {"shipped", "held_out"}


def test_holdout__in_the_clients_terms__a_filter_range() -> None:
    version = set_holdout(share=0.25, at=T0)
    theirs = {unit for unit in UNITS if growthbook.core.gbhash(version.seed, unit, 2) < 0.25}  # type: ignore[operator]  # version 2 always gives a number
    assert theirs == _held_out()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"share": -0.1}, "share"),
        ({"share": 1.0}, "share"),
        ({"share": 0.1, "layer_key": "nowhere"}, "layer_unknown"),
        ({"share": 0.1, "at": T0}, "time"),
    ],
)
def test_set_holdout__nonsense__refused(arguments: dict[str, Any], code: str) -> None:
    set_holdout(share=0.1, at=T0)
    with pytest.raises(InvalidDesign) as error:
        set_holdout(**{"at": LATER, **arguments})
    assert [reason.code for reason in error.value.reasons] == [code]
    assert Holdout.objects.count() == 1


@pytest.mark.parametrize("change", [{"share": 0.9}, {"seed": "x"}, {"starts_at": LATER}, {"number": 9}])
def test_guard__version__never_changes(change: dict[str, Any]) -> None:
    set_holdout(share=0.1, at=T0)
    with pytest.raises(IntegrityError, match="never changes"), transaction.atomic():
        Holdout.objects.update(**change)


def test_guard__closed_version__is_not_opened_again() -> None:
    set_holdout(share=0.1, at=T0)
    set_holdout(share=0.2, at=STARTED)
    with pytest.raises(IntegrityError, match="never changes"), transaction.atomic():
        Holdout.objects.filter(number=1).update(ends_at=LATER)


def test_remove_demo__demo_layer_with_a_holdout__layer_stays() -> None:
    create_layer(key="demo", name="Demo", is_demo=True)
    set_holdout(share=0.1, at=T0, layer_key="demo")
    remove_demo()
    assert Holdout.objects.get().layer is not None
