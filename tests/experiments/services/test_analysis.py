"""A whole run: facts in, report out, nothing written."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pytest_django.fixtures import Settings

from experiments.models import Experiment, Exposure, Look, Snapshot
from experiments.services.analysis import analyze
from experiments.services.analysis_plan import AnalysisPlan, decode_plan
from experiments.services.design import ArmSpec, MetricSpec
from experiments.services.lifecycle import open_phase
from tests.experiments.world import FACTS, Shop, add_order, make_world
from tests.factories.experiments import STARTED

pytestmark = pytest.mark.django_db
AT = STARTED + timedelta(days=16)
BETTER = Shop({"control": 0.2, "treatment": 0.4})
METRICS = (MetricSpec(key="conversion", role="primary"), MetricSpec(key="revenue", role="secondary"))


@pytest.fixture(autouse=True)
def _facts(settings: Settings) -> None:
    settings.EXPERIMENTS_FACTS = FACTS


def test_analyze__arm_that_is_better__ships_and_finds_the_truth() -> None:
    experiment = make_world(BETTER, metrics=METRICS, mde=0.5, demo_truth={"lifts": {"conversion": {"treatment": 1.0}}})
    found = analyze(experiment=experiment, at=AT)
    report = found.report
    assert (report.verdict.outcome, report.verdict.arm) == ("ship", "treatment")
    assert report.exposed_n == 1_200
    assert [metric.key for metric in report.metrics] == ["conversion", "revenue"]
    primary = report.metrics[0].comparisons[0]
    assert primary.true_lift == 1.0
    assert primary.always_valid.lift_ci is not None
    assert primary.always_valid.lift_ci.lower is not None
    assert 0 < primary.always_valid.lift_ci.lower < 1.0
    assert report.metrics[1].comparisons[0].true_lift is None
    assert not Snapshot.objects.exists()
    assert not Look.objects.exists()


def test_analyze__windows_that_are_open__count_so_far_and_decide_nothing() -> None:
    experiment = make_world(BETTER)
    totals = analyze(experiment=experiment, at=STARTED + timedelta(days=12)).report.metrics[0].arms
    for arm in totals:
        assert 0 < arm.mature_n < arm.exposed_n
        assert arm.nonzero_n < arm.nonzero_so_far_n
    comparison = analyze(experiment=experiment, at=AT).report.metrics[0].comparisons[0]
    assert comparison.n_control + comparison.n_arm < 1_200
    everything = analyze(experiment=experiment, at=STARTED + timedelta(days=25)).report.metrics[0].comparisons[0]
    assert everything.n_control + everything.n_arm == 1_200


def test_analyze__covariate__is_adjusted_for_and_can_be_switched_off() -> None:
    experiment = make_world(BETTER)
    metric = analyze(experiment=experiment, at=AT).report.metrics[0]
    adjusted = metric.comparisons[0].adjusted
    assert adjusted is not None
    assert adjusted.variance_saved is not None
    assert 0 < adjusted.variance_saved < 0.5
    assert metric.covariates == ("conversion",)
    experiment.plan = {"analysis": {"schema": 1, "covariates": False}}
    plain = analyze(experiment=experiment, at=AT).report.metrics[0]
    assert plain.comparisons[0].adjusted is None
    assert plain.covariates == ()


def test_analyze__window_of_the_experiment__replaces_the_metrics_own() -> None:
    experiment = make_world(BETTER, metrics=(MetricSpec(key="conversion", role="primary", window_hours=1),))
    report = analyze(experiment=experiment, at=AT).report
    assert report.metrics[0].window_hours == 1
    assert report.metrics[0].arms[0].total == 0
    assert ("metric_silent", "Conversion") in {
        (message.code, message.parameters.get("metric")) for message in report.health.messages
    }


def test_analyze__planned_size_of_three_arms__is_shared_by_weight() -> None:
    arms = (
        ArmSpec(key="control", name="Control", weight=0.5, is_control=True),
        ArmSpec(key="treatment", name="Treatment", weight=0.25),
        ArmSpec(key="second", name="Second", weight=0.25),
    )
    experiment = make_world(Shop({"control": 0.2, "treatment": 0.4, "second": 0.2}), arms=arms)
    report = analyze(experiment=experiment, at=AT).report
    assert [comparison.arm for comparison in report.metrics[0].comparisons] == ["treatment", "second"]
    assert report.health.srm.is_mismatch  # people were dealt evenly, against the design


def test_analyze__person_in_two_arms__left_out_and_counted() -> None:
    experiment = make_world(BETTER)
    first = Exposure.objects.filter(unit_id="1").get()
    other = experiment.arms.exclude(pk=first.arm_id).get()
    Exposure.objects.create(
        experiment=experiment, phase=first.phase, arm=other, unit_type="profile", unit_id="1", first_at=first.first_at
    )
    report = analyze(experiment=experiment, at=AT).report
    assert report.exposed_n == 1_199
    assert report.health.multi_arm_n == 1
    assert [arm.multi_arm_n for arm in report.arms] == [1, 1]


def test_analyze__second_phase__is_checked_and_pooled_by_phase() -> None:
    experiment = make_world(BETTER)
    open_phase(
        experiment_key=experiment.key, at=STARTED + timedelta(days=6), weights={"control": 0.9, "treatment": 0.1}
    )
    experiment.refresh_from_db()
    report = analyze(experiment=experiment, at=AT).report
    assert [phase.phase for phase in report.health.phases] == [1, 2]
    assert report.health.is_healthy
    assert report.arms[0].weight == 0.9
    assert report.verdict.outcome == "ship"


def test_analyze__no_planned_size__takes_no_look() -> None:
    experiment = make_world(BETTER)
    experiment.planned_size = None
    found = analyze(experiment=experiment, at=AT)
    always = found.report.metrics[0].comparisons[0].always_valid
    assert always.reason is not None
    assert always.reason.code == "no_planned_size"
    assert found.new_looks == ()


def test_analyze__nobody_exposed__has_a_report_without_numbers() -> None:
    experiment = make_world(Shop({"control": 0.2, "treatment": 0.2}, units_n=0))
    report = analyze(experiment=experiment, at=AT).report
    assert report.verdict.headline.code == "continue_empty"
    assert report.metrics[0].arms[0].value is None
    assert report.metrics[0].comparisons[0].incremental is None
    assert report.metrics[0].comparisons[0].raw.reason is not None


def test_analyze__late_order__changes_the_fingerprint_and_no_stored_look() -> None:
    experiment = make_world(BETTER)
    before = analyze(experiment=experiment, at=AT)
    assert analyze(experiment=experiment, at=AT).fingerprint == before.fingerprint
    unit = Exposure.objects.order_by("first_at").values_list("unit_id", flat=True)[0]
    add_order(int(unit), STARTED + timedelta(days=2))
    assert analyze(experiment=experiment, at=AT).fingerprint != before.fingerprint


def test_analyze__experiment_from_before_a_plan__uses_the_defaults() -> None:
    assert decode_plan({}) == AnalysisPlan()
    plan = decode_plan({"analysis": {"schema": 1, "scale": "absolute", "rules": "do_no_harm", "looks": "single"}})
    assert plan == AnalysisPlan(scale="absolute", is_single_look=True, rules="do_no_harm")


@pytest.mark.parametrize("part", [{"schema": 2}, {"schema": 1, "rules": "coin"}])
def test_decode_plan__unknown__refused(part: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"no decoder|no rulebook"):
        decode_plan({"analysis": part})


def test_analyze__no_lift__is_not_called_a_win() -> None:
    experiment: Experiment = make_world(Shop({"control": 0.2, "treatment": 0.2}, seed=4))
    report = analyze(experiment=experiment, at=AT).report
    assert report.verdict.outcome in {"continue", "undecided"}
