from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from experiments.errors import CannotTransition, InvalidDesign
from experiments.models import ChangeLog, Experiment
from experiments.services import decision, lifecycle
from experiments.services.assignment import Assignment, assign, assign_many
from experiments.services.design import Requirement, create_experiment, design_of, remove_demo, revise
from tests.factories.experiments import STARTED, T0, expose, make_design, make_experiment

pytestmark = pytest.mark.django_db

NOW = STARTED + timedelta(days=1)
UNITS = [f"user-{number}" for number in range(400)]


def _child(status: str = "running", **change: Any) -> tuple[Experiment, Experiment]:
    parent = make_experiment(status="running")
    needs = (Requirement(parent.key, "treatment"),)
    return parent, make_experiment(status=status, requires=needs, **change)


def _all(experiment: Experiment, **change: Any) -> list[Assignment]:
    """Both ways, which must agree."""
    arguments: dict[str, Any] = {"experiment_key": experiment.key, "unit_type": "profile", "at": NOW, **change}
    many = assign_many(unit_ids=UNITS, attributes={}, **arguments)
    ones = [assign(unit_id=unit_id, attributes={}, **arguments) for unit_id in UNITS]
    assert list(many) == ones
    return ones


def test_assign__prerequisite__only_units_in_the_required_arm() -> None:
    parent, child = _child()
    got = list(zip(_all(parent), _all(child), strict=True))
    assert {one.reason for above, one in got if above.arm_key == "treatment"} == {"split"}
    assert {one.reason for above, one in got if above.arm_key != "treatment"} == {"prerequisite"}
    inside = [one.arm_key for _, one in got if one.is_in]
    # A hash of its own: within the required arm both arms of the child.
    assert 0.35 < inside.count("control") / len(inside) < 0.65


def test_assign__required_experiment_ended__nobody_until_shipped() -> None:
    parent, child = _child()
    lifecycle.stop(experiment_key=parent.key, at=NOW)
    assert {one.reason for one in _all(child)} == {"prerequisite"}
    decision.decide(experiment_key=parent.key, outcome="ship", arm_key="treatment", reason="It won.", at=NOW)
    assert {one.reason for one in _all(child)} == {"split"}


def test_assign__shipped_child__still_asks() -> None:
    parent, child = _child(status="decided")
    got = list(zip(_all(parent), _all(child), strict=True))
    assert all(one.reason == ("shipped" if above.arm_key == "treatment" else "prerequisite") for above, one in got)


def test_assign__exposed_before__keeps_its_arm() -> None:
    parent, child = _child()
    keeper = next(unit_id for unit_id, one in zip(UNITS, _all(parent), strict=True) if one.arm_key == "treatment")
    expose(child, keeper, arm="treatment")
    lifecycle.open_phase(experiment_key=child.key, at=STARTED + timedelta(hours=1))
    lifecycle.stop(experiment_key=parent.key, at=NOW)
    got = dict(zip(UNITS, _all(child), strict=True))
    assert (got[keeper].arm_key, got[keeper].reason) == ("treatment", "sticky")
    assert {one.reason for unit_id, one in got.items() if unit_id != keeper} == {"prerequisite"}


def test_create__cycles_and_unknown_ones__refused() -> None:
    first = make_experiment()
    second = make_experiment(requires=(Requirement(first.key, "control"),))
    third = make_experiment(requires=(Requirement(second.key, "control"),))

    def codes(**change: Any) -> set[str]:
        with pytest.raises(InvalidDesign) as caught:
            revise(experiment_key=first.key, design=make_design(key=first.key, **change), at=T0)
        return {reason.code for reason in caught.value.reasons}

    assert codes(requires=(Requirement(third.key, "control"),)) == {"required_cycle"}
    assert codes(requires=(Requirement(first.key, "control"),)) == {"required_cycle"}
    other = make_experiment(unit_type="household")
    assert codes(requires=(Requirement(other.key, "control"),)) == {"required_unit"}
    assert codes(requires=(Requirement("nothing", "control"),)) == {"required_unknown"}
    free = make_experiment()
    assert codes(requires=(Requirement(free.key, "nothing"),)) == {"required_unknown"}
    assert codes(requires=(Requirement(free.key, "control"), Requirement(free.key, "treatment"))) == {"required_twice"}


def test_start__required_draft_or_lost_arm__refused() -> None:
    parent = make_experiment()
    child = make_experiment(requires=(Requirement(parent.key, "treatment"),))

    def codes() -> set[str]:
        with pytest.raises(CannotTransition) as caught:
            lifecycle.start(experiment_key=child.key, at=STARTED)
        return {reason.code for reason in caught.value.reasons}

    assert codes() == {"required_draft"}
    arms = make_design().arms
    renamed = (arms[0], type(arms[1])("other", "Other", 0.5))
    revise(experiment_key=parent.key, design=make_design(key=parent.key, arms=renamed), at=T0)
    lifecycle.start(experiment_key=parent.key, at=STARTED)
    assert codes() == {"required_arm"}


def test_design_of__requirements__are_kept_and_logged() -> None:
    parent, child = _child(status="draft")
    assert design_of(experiment_key=child.key).requires == (Requirement(parent.key, "treatment"),)
    assert ChangeLog.objects.latest("pk").snapshot["requires"] == [
        {"required__key": parent.key, "arm_key": "treatment"}
    ]
    revise(experiment_key=child.key, design=make_design(key=child.key), at=T0)
    assert design_of(experiment_key=child.key).requires == ()


def test_remove_demo__demo_experiments_that_require_each_other__go() -> None:
    parent = make_experiment(is_demo=True)
    create_experiment(design=make_design(is_demo=True, requires=(Requirement(parent.key, "control"),)), at=T0)
    assert remove_demo() == 2
