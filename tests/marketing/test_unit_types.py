"""Experiments on signed-in people and on visitors, from reported views and orders to a stored result."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from experiments.models import Experiment, Exposure
from experiments.selectors import get_report
from experiments.services.assignment import assign
from experiments.services.refresh import refresh_experiment
from marketing.models import Identity
from tests.factories.experiments import STARTED, make_experiment
from tests.factories.marketing import send, track

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
AT = STARTED + timedelta(days=20)
PEOPLE = 240


def _view(experiment: Experiment, arm: str | None, **who: Any) -> dict[str, Any]:
    at: datetime = who.pop("at", STARTED + HOUR)
    return track("Experiment Viewed", experiment_id=experiment.key, variation_id=arm, consent=True, at=at, **who)


def _order(at: datetime, **who: Any) -> dict[str, Any]:
    return track("Order Completed", order_id=f"o-{who}", revenue=10, currency="EUR", at=at, **who)


def _arm(experiment: Experiment, unit_id: str) -> str:
    got = assign(
        experiment_key=experiment.key, unit_type=experiment.unit_type, unit_id=unit_id, attributes={}, at=STARTED
    )
    assert got.arm_key is not None
    return got.arm_key


@pytest.mark.parametrize(("unit_type", "name"), [("user_id", "user"), ("anonymous", "visitor")])
def test_unit_types__reported_by_clients__are_analyzed_by_person(unit_type: str, name: str) -> None:
    experiment = make_experiment(status="running", unit_type=unit_type)
    messages, expected = [], {"control": [0, 0], "treatment": [0, 0]}
    for number in range(PEOPLE):
        unit_id = f"unit-{number}"
        arm = _arm(experiment, unit_id)
        messages.append(_view(experiment, arm, **{name: unit_id}))
        expected[arm][0] += 1
        if number % (2 if arm == "treatment" else 4) == 0:
            messages.append(_order(STARTED + 2 * HOUR, **{name: unit_id}))
            expected[arm][1] += 1
    # Ordered before the view, and never viewed: neither counts.
    messages.append(_order(STARTED, **{name: "unit-1"}))
    messages.append(_order(STARTED + 2 * HOUR, **{name: "stranger"}))
    assert send(*reversed(messages), at=AT).exposures == PEOPLE
    assert refresh_experiment(experiment_id=experiment.pk, at=AT).status == "ok"
    report = get_report(experiment_key=experiment.key)
    assert report is not None
    assert report.primary is not None
    got = {totals.arm: [totals.mature_n, totals.nonzero_n] for totals in report.primary.arms}
    assert got == expected
    assert set(Exposure.objects.values_list("unit_type", flat=True)) == {unit_type}


def test_unit_types__visitor_who_signs_in__is_one_person_and_in_two_arms_quarantined_by_arm() -> None:
    experiment = make_experiment(status="running", unit_type="anonymous")
    by_arm: dict[str, list[str]] = {"control": [], "treatment": []}
    for number in range(60):
        by_arm[_arm(experiment, f"device-{number}")].append(f"device-{number}")
    messages = [_view(experiment, arm, visitor=device) for arm, devices in by_arm.items() for device in devices]
    # Ana's two devices saw two arms; Ben's two saw the same one.
    ana = (by_arm["control"][0], by_arm["treatment"][0])
    ben = (by_arm["control"][1], by_arm["control"][2])
    for person, devices in (("ana", ana), ("ben", ben)):
        messages += [track("Signed In", user=person, visitor=device, at=STARTED + 2 * HOUR) for device in devices]
        messages.append(_order(STARTED + 3 * HOUR, user=person))
    send(*messages, at=AT)
    assert len(set(Identity.objects.filter(value__in=[*ana, "ana"]).values_list("profile_id", flat=True))) == 1
    refresh_experiment(experiment_id=experiment.pk, at=AT)
    report = get_report(experiment_key=experiment.key)
    assert report is not None
    assert report.primary is not None
    assert report.health.multi_arm_n == 1
    assert {arm.key: arm.multi_arm_n for arm in report.arms} == {"control": 1, "treatment": 1}
    assert {totals.arm: totals.mature_n for totals in report.primary.arms} == {
        "control": len(by_arm["control"]) - 2,  # without Ana, and Ben once
        "treatment": len(by_arm["treatment"]) - 1,
    }
    assert {totals.arm: totals.nonzero_n for totals in report.primary.arms} == {"control": 1, "treatment": 0}


def _join(user: str, group: str, at: datetime, kind: str | None = None) -> dict[str, Any]:
    traits = {} if kind is None else {"type": kind}
    message_id = f"join-{user}-{group}-{at.isoformat()}"
    return {
        "type": "group", "messageId": message_id, "timestamp": at.isoformat(), "userId": user, "groupId": group,
        "traits": traits,
    }  # fmt: skip


@pytest.mark.parametrize(("unit_type", "kind"), [("account", None), ("household", "household")])
def test_unit_types__groups__what_members_at_the_exposure_did(unit_type: str, kind: str | None) -> None:
    experiment = make_experiment(status="running", unit_type=unit_type)
    seen_at, later = STARTED + HOUR, STARTED + 2 * HOUR
    arms = {f"group-{number}": _arm(experiment, f"group-{number}") for number in range(40)}
    messages: list[dict[str, Any]] = []
    for group, arm in arms.items():
        messages.append(_join(f"{group}-ana", group, STARTED, kind))
        messages.append(_join(f"{group}-ben", group, STARTED, kind))
        # Ana sees it, for the group that the context names; Ben only buys.
        view = _view(experiment, arm, user=f"{group}-ana", at=seen_at)
        messages.append(view | {"context": {"groupId": group}})
    one, two, three, four, five = list(arms)[:5]
    messages.append(_order(later, user=f"{one}-ben"))
    # Left before the exposure: nothing counts for the old group.
    messages += [_join(f"{two}-ben", "elsewhere", STARTED + HOUR / 2, kind), _order(later, user=f"{two}-ben")]
    # Left after it: still counts. Joined after it: never counts.
    messages += [_join(f"{three}-ben", "elsewhere", STARTED + 1.5 * HOUR, kind), _order(later, user=f"{three}-ben")]
    messages += [_join("late", four, STARTED + 1.5 * HOUR, kind), _order(later, user="late")]
    # A group of another kind is none of these.
    messages += [_join("foreign", five, STARTED, "team"), _order(later, user="foreign")]
    assert send(*reversed(messages), at=AT).exposures == len(arms)
    assert set(Exposure.objects.values_list("unit_id", flat=True)) == set(arms)
    for _attempt in range(2):
        assert refresh_experiment(experiment_id=experiment.pk, at=AT).status == "ok"
        report = get_report(experiment_key=experiment.key)
        assert report is not None
        assert report.primary is not None
        bought = {totals.arm: totals.nonzero_n for totals in report.primary.arms}
        assert bought == {arm: [arms[one], arms[three]].count(arm) for arm in ("control", "treatment")}
        assert {t.arm: t.mature_n for t in report.primary.arms} == {
            arm: list(arms.values()).count(arm) for arm in ("control", "treatment")
        }
        # A late event is seen by the next refresh, too: groups are always computed in full.
        send(_order(later, user=f"{one}-ana"), at=AT)


def test_unit_types__group_without_a_name__is_rejected() -> None:
    experiment = make_experiment(status="running", unit_type="account")
    result = send(_view(experiment, "control", user="ana"), at=AT)
    assert dict(result.exposures_rejected) == {"bad_unit": 1}
