"""Verdicts: one for each thing that can be true of an experiment."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from experiments.models import Experiment, ExperimentMetric, Metric
from experiments.reports import Bounds, Guardrail, HealthReport, Message, MetricReport, Verdict
from experiments.services.verdict import Frame, Progress, holm, judge, judge_guardrail
from experiments.templatetags.experiment_words import WORDS
from tests.experiments.reports import make_always_valid, make_comparison, make_estimate, make_health, make_metric
from tests.factories.experiments import make_experiment

pytestmark = pytest.mark.django_db

FRAME = Frame(alpha=0.05, mde=0.1, scale="relative", rules="clear_signals", is_single_look=False)
PROGRESS = Progress(units=2_000, planned_units=4_000, days=10, has_ended=False)


@pytest.fixture
def experiment() -> Experiment:
    return make_experiment(status="running")


def primary(lower: float | None, upper: float | None, *, p_value: float | None = 0.01, **changes: Any) -> MetricReport:
    interval = None if lower is None or upper is None else Bounds(lower, upper, 0.95)
    always = make_always_valid(lift_ci=interval, p_value=p_value, **changes)
    return make_metric(comparisons=(make_comparison(always_valid=always),))


def guardrail(lower: float, upper: float, margin: float | None = 0.1) -> MetricReport:
    always = make_always_valid(lift_ci=Bounds(lower, upper, 0.95))
    held = Guardrail("open", margin, Message("guardrail_open"))
    comparison = make_comparison(always_valid=always, guardrail=held)
    return make_metric(key="refunds", name="Refunds", role="guardrail", direction="down", comparisons=(comparison,))


def verdict(
    experiment: Experiment,
    *metrics: MetricReport,
    frame: Frame = FRAME,
    progress: Progress = PROGRESS,
    health: HealthReport | None = None,
) -> Verdict:
    found = judge(
        experiment=experiment, metrics=metrics, health=health or make_health(), frame=frame, progress=progress
    )
    assert {found.headline.code, *(reason.code for reason in found.reasons)} <= set(WORDS)
    return found


def test_judge__better_and_long_enough__ships(experiment: Experiment) -> None:
    found = verdict(experiment, primary(0.02, 0.3))
    assert (found.outcome, found.arm, found.headline.code) == ("ship", "treatment", "ship")
    assert found.headline.parameters["arm"] == "Treatment"
    assert [reason.code for reason in found.reasons] == ["metric_good"]


def test_judge__better_within_the_first_week__waits(experiment: Experiment) -> None:
    found = verdict(experiment, primary(0.02, 0.3), progress=replace(PROGRESS, days=3))
    assert (found.outcome, found.headline.code) == ("continue", "continue_early")
    assert "before_minimum_days" in {reason.code for reason in found.reasons}


def test_judge__better_but_ended_within_the_week__is_a_persons_choice(experiment: Experiment) -> None:
    found = verdict(experiment, primary(0.02, 0.3), progress=replace(PROGRESS, days=3, has_ended=True))
    assert (found.outcome, found.headline.code) == ("undecided", "undecided_early")


def test_judge__nothing_certain__continues(experiment: Experiment) -> None:
    found = verdict(experiment, primary(-0.1, 0.3, p_value=0.4))
    assert (found.outcome, found.headline.code) == ("continue", "continue")
    assert found.headline.parameters["needed"] == 4_000


def test_judge__nothing_certain_but_ended__is_a_persons_choice(experiment: Experiment) -> None:
    found = verdict(experiment, primary(-0.1, 0.3, p_value=0.4), progress=replace(PROGRESS, has_ended=True))
    assert (found.outcome, found.headline.code) == ("undecided", "ended")


def test_judge__nobody_measured__says_so(experiment: Experiment) -> None:
    nothing = primary(None, None, p_value=None, reason=Message("no_window_closed"))
    found = verdict(experiment, nothing, progress=replace(PROGRESS, units=0))
    assert (found.outcome, found.headline.code) == ("continue", "continue_empty")
    assert [reason.code for reason in found.reasons] == ["metric_undefined", "before_planned_size"]


def test_judge__worse__stops(experiment: Experiment) -> None:
    found = verdict(experiment, primary(-0.3, -0.02))
    assert (found.outcome, found.headline.code) == ("stop", "stop_harm")


def test_judge__effect_worth_having_ruled_out_at_planned_size__stops(experiment: Experiment) -> None:
    full = replace(PROGRESS, units=4_000)
    found = verdict(experiment, primary(-0.05, 0.06, p_value=0.7), progress=full)
    assert (found.outcome, found.headline.code) == ("stop", "stop_flat")


def test_judge__unclear_at_planned_size__is_undecided(experiment: Experiment) -> None:
    full = replace(PROGRESS, units=4_000)
    found = verdict(experiment, primary(-0.05, 0.2, p_value=0.2), progress=full)
    assert (found.outcome, found.headline.code) == ("undecided", "undecided")


def test_judge__do_no_harm_at_planned_size__ships_what_is_not_worse(experiment: Experiment) -> None:
    full = replace(PROGRESS, units=4_000)
    found = verdict(
        experiment, primary(-0.05, 0.2, p_value=0.2), progress=full, frame=replace(FRAME, rules="do_no_harm")
    )
    assert found.outcome == "ship"


def test_judge__guardrail_harmed__stops_although_better(experiment: Experiment) -> None:
    found = verdict(experiment, primary(0.02, 0.3), guardrail(0.2, 0.9))
    assert (found.outcome, found.headline.code) == ("stop", "guardrail_blocks")
    assert found.headline.parameters["guardrail"] == "Refunds"
    assert found.reasons[0].level == "bad"


def test_judge__guardrail_not_shown_safe__waits_although_better(experiment: Experiment) -> None:
    found = verdict(experiment, primary(0.02, 0.3), guardrail(-0.1, 0.2))
    assert (found.outcome, found.headline.code) == ("continue", "continue_doubt")
    assert found.headline.parameters["guardrail"] == "Refunds"
    full = verdict(experiment, primary(0.02, 0.3), guardrail(-0.1, 0.2), progress=replace(PROGRESS, units=4_000))
    assert (full.outcome, full.headline.code) == ("undecided", "undecided_doubt")


def test_judge__unhealthy__gives_no_verdict(experiment: Experiment) -> None:
    broken = make_health(is_healthy=False, messages=(Message("srm_mismatch", {"p_value": 1e-9}, level="bad"),))
    found = verdict(experiment, primary(0.02, 0.3), health=broken)
    assert (found.outcome, found.arm, found.headline.code) == ("undecided", None, "not_healthy")
    assert found.reasons == broken.messages


def test_judge__no_primary__has_nothing_to_compare(experiment: Experiment) -> None:
    assert verdict(experiment).headline.code == "nothing_to_compare"
    assert verdict(experiment, make_metric(comparisons=())).headline.code == "nothing_to_compare"


def test_judge__look_refused__tells_how_much_is_missing(experiment: Experiment) -> None:
    reason = Message("too_few_events", {"found": 12, "needed": 25})
    found = verdict(experiment, primary(None, None, p_value=None, reason=reason))
    refused = next(message for message in found.reasons if message.code == "look_refused")
    assert (refused.parameters["have"], refused.parameters["needed"]) == (12, 25)


def test_judge__drifting__is_told(experiment: Experiment) -> None:
    found = verdict(experiment, primary(None, None, reason=Message("effect_is_drifting")))
    assert found.reasons[0].code == "metric_drifting"


def test_judge__several_treatments__form_one_family(experiment: Experiment) -> None:
    experiment.arms.create(key="second", name="Second", position=5)
    interval = make_always_valid(lift_ci=Bounds(0.01, 0.3, 0.95), p_value=0.03)
    pair = tuple(make_comparison(arm=arm, always_valid=interval) for arm in ("treatment", "second"))
    assert verdict(experiment, make_metric(comparisons=pair)).outcome == "continue"
    sure = replace(pair[1], always_valid=replace(interval, p_value=0.02), raw=make_estimate(effect=0.5, lift=5.0))
    found = verdict(experiment, make_metric(comparisons=(pair[0], sure)))
    assert (found.outcome, found.arm) == ("ship", "second")
    assert sum(reason.code == "before_planned_size" for reason in found.reasons) <= 1


def test_judge__single_look__rests_on_the_fixed_interval(experiment: Experiment) -> None:
    frame = replace(FRAME, is_single_look=True)
    done = Progress(units=2_010, planned_units=None, days=0, has_ended=True)
    found = verdict(experiment, primary(None, None), frame=frame, progress=done)
    assert (found.outcome, found.arm) == ("ship", "treatment")
    assert "planned_size_reached" not in {reason.code for reason in found.reasons}


@pytest.mark.parametrize("is_single_look", [True, False])
def test_judge__absolute_scale__decides_by_the_difference(experiment: Experiment, is_single_look: bool) -> None:
    frame = replace(FRAME, scale="absolute", is_single_look=is_single_look)
    found = verdict(experiment, primary(None, None), frame=frame)
    assert found.outcome == "ship"
    good = found.reasons[0].parameters
    assert good["lower"] == pytest.approx(0.04 if is_single_look else 0.01)


def test_judge__absolute_scale_without_a_base__has_no_result(experiment: Experiment) -> None:
    nothing = make_comparison(raw=make_estimate(mean_control=0.0))
    found = verdict(experiment, make_metric(comparisons=(nothing,)), frame=replace(FRAME, scale="absolute"))
    assert found.reasons[0].code == "metric_undefined"


@pytest.mark.parametrize(
    ("lower", "upper", "margin", "status"),
    [
        (-0.5, -0.1, 0.1, "held"),
        (-0.05, 0.09, 0.1, "held"),
        (0.05, 0.3, 0.1, "harmed"),
        (-0.1, 0.2, 0.1, "open"),
        (0.05, 0.3, None, "harmed"),
        (-0.1, 0.2, None, "open"),
        (-0.3, -0.1, None, "held"),
    ],
)
def test_judge_guardrail__interval_against_margin__not_significant_is_not_safe(
    lower: float, upper: float, margin: float | None, status: str
) -> None:
    use = ExperimentMetric(metric=Metric(name="Refunds", direction="down"), role="guardrail", margin=margin)
    always = make_always_valid(lift_ci=Bounds(lower, upper, 0.95))
    found = judge_guardrail(use=use, arm="Treatment", estimate=make_estimate(), always_valid=always, frame=FRAME)
    assert found is not None
    assert found.status == status
    assert found.message.code in WORDS


def test_judge_guardrail__another_role__is_none() -> None:
    use = ExperimentMetric(metric=Metric(name="Refunds"), role="secondary")
    always = make_always_valid()
    assert judge_guardrail(use=use, arm="T", estimate=make_estimate(), always_valid=always, frame=FRAME) is None


def test_holm__by_hand__steps_down() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.02, None]) == [0.04, None]
    assert holm([]) == []


def test_judge_guardrail__ceiling__judges_the_treated_arms_own_rate() -> None:
    use = ExperimentMetric(
        metric=Metric(key="unsubscribe_rate", name="Unsubscribe rate", direction="down"),
        role="guardrail",
        ceiling=0.005,
    )
    found = {}
    for counts in ((0, 0), (3, 400), (60, 4_000), (2, 4_000)):
        judged = judge_guardrail(
            use=use,
            arm="Letter",
            estimate=make_estimate(),
            always_valid=make_always_valid(),
            frame=FRAME,
            counts=counts,
        )
        assert judged is not None
        found[counts] = (judged.status, judged.message.code, judged.rate)
    assert found == {
        (0, 0): ("open", "ceiling_empty", None),
        (3, 400): ("open", "ceiling_open", 0.0075),
        (60, 4_000): ("harmed", "ceiling_harmed", 0.015),
        (2, 4_000): ("held", "ceiling_held", 0.0005),
    }


@pytest.mark.parametrize(
    ("rate_ci", "outcome"),
    [(Bounds(0.01, 0.02, 0.95), "stop"), (Bounds(0.0, 0.004, 0.95), "ship"), (Bounds(0.0, 0.02, 0.95), "continue")],
)
def test_judge__ceiling__harm_stops_and_what_is_open_keeps_from_shipping(
    experiment: Experiment, rate_ci: Bounds, outcome: str
) -> None:
    ceiling = Guardrail("open", None, Message("ceiling_open"), ceiling=0.005, rate=0.004, rate_ci=rate_ci)
    comparison = make_comparison(always_valid=make_always_valid(lift_ci=None), guardrail=ceiling)
    unsubscribes = make_metric(key="unsubscribe_rate", role="guardrail", direction="down", comparisons=(comparison,))
    assert verdict(experiment, primary(0.02, 0.3), unsubscribes).outcome == outcome
