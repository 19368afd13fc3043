from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction

from experiments import tasks
from experiments.errors import CannotTransition, InvalidDesign
from experiments.models import ChangeLog, Experiment, RampStep
from experiments.reports import ExperimentReport, Guardrail, Message
from experiments.selectors import get_config, list_changes
from experiments.selectors import ramp as ramp_selectors
from experiments.selectors.ramp import coverage_in_force, get_ramp
from experiments.services import lifecycle
from experiments.services import ramp as ramps
from experiments.services.assignment import assign, assign_many
from experiments.services.design import create_experiment, design_of, remove_demo, revise
from experiments.services.ramp import RampSpec, apply_due_steps, raise_coverage, set_ramp
from tests.experiments.reports import make_comparison, make_metric, make_report
from tests.factories.experiments import STARTED, T0, make_design, make_experiment

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
STEPS = (RampSpec(DAY, 0.25), RampSpec(2 * DAY, 0.5), RampSpec(4 * DAY, 1.0))
UNITS = [f"user-{number}" for number in range(2_000)]


def _arms(experiment: Experiment, at: datetime) -> list[str | None]:
    got = assign_many(
        experiment_key=experiment.key,
        unit_type="profile",
        unit_ids=UNITS,
        attributes={},
        at=at,
    )
    return [one.arm_key for one in got]


def test_apply_due_steps__by_the_clock__raises_and_moves_nobody() -> None:
    experiment = make_experiment(status="running", coverage=0.1, ramp=STEPS)
    before = _arms(experiment, STARTED)
    assert apply_due_steps(at=STARTED + DAY - timedelta(seconds=1)).raised == {}
    assert apply_due_steps(at=STARTED + 2 * DAY).raised == {experiment.key: 0.5}  # two at once, after a long night
    assert apply_due_steps(at=STARTED + 2 * DAY).raised == {}
    after = _arms(experiment, STARTED + 3 * DAY)
    assert all(new == old for old, new in zip(before, after, strict=True) if old is not None)
    assert 0.45 < sum(arm is not None for arm in after) / len(UNITS) < 0.55
    assert _arms(experiment, STARTED + DAY) == before  # the coverage of a past moment can be told
    assert experiment.phases.count() == 1
    assert list_changes(experiment_key=experiment.key)[0].message == "The coverage is 50 % now."
    config = get_config(experiment_key=experiment.key)
    assert config is not None
    assert [(phase.number, phase.coverage) for phase in config.phases] == [(1, 0.1), (1, 0.25), (1, 0.5)]
    snapshot = ChangeLog.objects.latest("pk").snapshot
    assert [step["coverage"] for step in snapshot["phases"][0]["ramp"] if step["applied_at"]] == [0.25, 0.5]


def test_apply_due_steps__later_phase__costs_no_query_more(django_assert_num_queries: Any) -> None:
    experiment = make_experiment(status="running", coverage=0.1, ramp=STEPS)
    apply_due_steps(at=STARTED + 5 * DAY)
    get_config(experiment_key=experiment.key)
    with django_assert_num_queries(0):
        got = assign(
            experiment_key=experiment.key, unit_type="profile", unit_id="u", attributes={}, at=STARTED + 6 * DAY
        )
    assert got.is_in


def test_apply_due_steps__paused__waits() -> None:
    experiment = make_experiment(status="running", coverage=0.1, ramp=STEPS)
    lifecycle.pause(experiment_key=experiment.key, at=STARTED + timedelta(hours=1))
    assert apply_due_steps(at=STARTED + 2 * DAY).raised == {}
    lifecycle.resume(experiment_key=experiment.key, at=STARTED + 2 * DAY)
    assert apply_due_steps(at=STARTED + 2 * DAY).raised == {experiment.key: 0.5}


def _ill(*, experiment_key: str = "") -> ExperimentReport:
    report = make_report()
    return replace(report, health=replace(report.health, is_healthy=False))


def _harmful(*, experiment_key: str = "") -> ExperimentReport:
    guardrail = Guardrail("harmed", 0.1, Message("harmed"))
    return make_report(metrics=(make_metric(comparisons=(make_comparison(guardrail=guardrail),)),))


@pytest.mark.parametrize(("stored", "reason"), [(_ill, "unhealthy"), (_harmful, "harmed")])
def test_apply_due_steps__ill_or_harmful__is_held(
    monkeypatch: pytest.MonkeyPatch, stored: Callable[..., ExperimentReport], reason: str
) -> None:
    experiment = make_experiment(status="running", coverage=0.1, ramp=STEPS)
    for module in (ramps, ramp_selectors):
        monkeypatch.setattr(module, "get_report", stored)
    result = apply_due_steps(at=STARTED + 2 * DAY)
    assert (result.raised, result.held) == ({}, {experiment.key: reason})
    ramp = get_ramp(experiment_key=experiment.key)
    assert ramp is not None
    assert (ramp.held_by, ramp.coverage, ramp.is_pending) == (reason, 0.1, True)


def test_why_held__no_results_or_good_ones__nothing() -> None:
    assert ramp_selectors.why_held(report=None) == ""
    assert ramp_selectors.why_held(report=make_report()) == ""


def test_task__due__is_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = make_experiment(status="running", coverage=0.1, ramp=STEPS)
    monkeypatch.setattr("django.utils.timezone.now", lambda: STARTED + 2 * DAY)
    assert tasks.apply_ramps() == 1
    assert RampStep.objects.filter(phase__experiment=experiment, applied_at__isnull=False).count() == 2


def test_command__due_now_planned_or_nonsense(monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = make_experiment(status="running", coverage=0.1, ramp=STEPS)
    monkeypatch.setattr("django.utils.timezone.now", lambda: STARTED + 2 * DAY)
    out = StringIO()
    call_command("ramp", stdout=out)
    assert out.getvalue() == f"{experiment.key}: 0.5\n"
    monkeypatch.setattr("django.utils.timezone.now", lambda: STARTED + 2.1 * DAY)
    call_command("ramp", experiment.key, "--now", "0.6")
    call_command("ramp", experiment.key, "--steps", "72=0.7", "96=0.9", "--message", "slower")
    assert list(RampStep.objects.order_by("after").values_list("coverage", flat=True)) == [0.25, 0.5, 0.6, 0.7, 0.9]
    monkeypatch.setattr(ramps, "get_report", _ill)
    monkeypatch.setattr("django.utils.timezone.now", lambda: STARTED + 5 * DAY)
    out = StringIO()
    call_command("ramp", stdout=out)
    assert out.getvalue() == f"{experiment.key}: held, unhealthy\n"
    nonsense: list[list[str]] = [
        [experiment.key],
        ["--now", "0.5"],
        [experiment.key, "--steps", "soon"],
        ["x", "--now", "1"],
    ]
    for arguments in nonsense:
        with pytest.raises(CommandError):
            call_command("ramp", *arguments)


def test_set_ramp__running__replaces_what_is_to_come() -> None:
    experiment = make_experiment(status="running", coverage=0.1, ramp=STEPS)
    apply_due_steps(at=STARTED + DAY)
    set_ramp(experiment_key=experiment.key, steps=[RampSpec(9 * DAY, 0.9)], at=STARTED + DAY, message="slower")
    assert list(RampStep.objects.order_by("after").values_list("coverage", flat=True)) == [0.25, 0.9]
    assert list_changes(experiment_key=experiment.key)[0].message == "slower"
    set_ramp(experiment_key=experiment.key, steps=[], at=STARTED + DAY)
    assert apply_due_steps(at=STARTED + 30 * DAY).raised == {}


@pytest.mark.parametrize(
    ("steps", "code"),
    [
        ([RampSpec(2 * DAY, 0.2)], "ramp_falls"),
        ([RampSpec(2 * DAY, 1.1)], "ramp_falls"),
        ([RampSpec(3 * DAY, 0.6), RampSpec(4 * DAY, 0.5)], "ramp_falls"),
        ([RampSpec(DAY, 0.5)], "ramp_time"),
        ([RampSpec(n * DAY, 0.25 + n / 1000) for n in range(2, 60)], "ramp_long"),
    ],
)
def test_set_ramp__lower_or_earlier__refused(steps: list[RampSpec], code: str) -> None:
    experiment = make_experiment(status="running", coverage=0.1, ramp=STEPS)
    apply_due_steps(at=STARTED + DAY)
    with pytest.raises(CannotTransition) as caught:
        set_ramp(experiment_key=experiment.key, steps=steps, at=STARTED + DAY)
    assert code in {reason.code for reason in caught.value.reasons}


def test_set_ramp__draft__refused_but_revised() -> None:
    experiment = make_experiment(coverage=0.1, ramp=STEPS)
    with pytest.raises(CannotTransition):
        set_ramp(experiment_key=experiment.key, steps=[], at=T0)
    design = design_of(experiment_key=experiment.key)
    assert design.ramp == STEPS
    revise(experiment_key=experiment.key, design=make_design(key=experiment.key, coverage=0.1, ramp=STEPS[:1]), at=T0)
    assert design_of(experiment_key=experiment.key).ramp == STEPS[:1]
    ramp = get_ramp(experiment_key=experiment.key)
    assert ramp is not None
    assert [step.due_at for step in ramp.steps] == [None]
    assert apply_due_steps(at=STARTED + 30 * DAY).raised == {}  # a draft has no clock
    with pytest.raises(InvalidDesign):
        create_experiment(design=make_design(coverage=0.5, ramp=STEPS), at=T0)


def test_raise_coverage__now__drops_steps_below_and_keeps_those_above() -> None:
    experiment = make_experiment(status="running", coverage=0.1, ramp=STEPS)
    raise_coverage(experiment_key=experiment.key, coverage=0.4, at=STARTED + timedelta(hours=2))
    ramp = get_ramp(experiment_key=experiment.key)
    assert ramp is not None
    assert [(step.coverage, step.applied_at is not None) for step in ramp.steps] == [
        (0.4, True),
        (0.5, False),
        (1.0, False),
    ]
    with pytest.raises(CannotTransition):
        raise_coverage(experiment_key=experiment.key, coverage=0.3, at=STARTED + timedelta(hours=3))


def test_open_phase__after_steps__starts_at_the_coverage_reached_without_the_rest_of_the_ramp() -> None:
    experiment = make_experiment(status="running", coverage=0.1, ramp=STEPS)
    apply_due_steps(at=STARTED + DAY)
    phase = lifecycle.open_phase(
        experiment_key=experiment.key, at=STARTED + DAY, weights={"control": 0.2, "treatment": 0.8}
    )
    assert (phase.coverage, coverage_in_force(phase=phase)) == (0.25, 0.25)
    assert apply_due_steps(at=STARTED + 30 * DAY).raised == {}


def test_get_ramp__unknown__none() -> None:
    assert get_ramp(experiment_key="nothing") is None


def test_guards__applied_step__never_changes() -> None:
    experiment = make_experiment(status="running", coverage=0.1, ramp=STEPS)
    apply_due_steps(at=STARTED + DAY)
    taken = RampStep.objects.filter(phase__experiment=experiment, applied_at__isnull=False)
    for change in ({"coverage": 0.9}, {"applied_at": None}):
        with pytest.raises(IntegrityError), transaction.atomic():
            taken.update(**change)
    with pytest.raises(IntegrityError), transaction.atomic():
        taken.delete()


def test_remove_demo__with_a_ramp__goes() -> None:
    experiment = make_experiment(status="running", coverage=0.1, ramp=STEPS, is_demo=True)
    apply_due_steps(at=STARTED + DAY)
    assert remove_demo() == 1
    assert not RampStep.objects.exists()
    assert not Experiment.objects.filter(pk=experiment.pk).exists()
