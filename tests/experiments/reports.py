"""Reports for tests of pages, exports and words: made by hand, so that every part can be set."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from experiments.reports import (
    AlwaysValid,
    ArmReport,
    ArmTotals,
    Bounds,
    ComparisonReport,
    Estimate,
    ExperimentReport,
    HealthReport,
    Message,
    MetricReport,
    PlanReport,
    SeriesPoint,
    SrmReport,
    Verdict,
)


def make_estimate(**changes: Any) -> Estimate:
    estimate = Estimate(
        effect=0.02,
        standard_error=0.008,
        effect_ci=Bounds(0.004, 0.036, 0.95),
        p_value=0.012,
        lift=0.2,
        lift_ci=Bounds(0.04, 0.38, 0.95),
        lift_p_value=0.013,
        df=None,
        mean_control=0.1,
        mean_arm=0.12,
    )
    return replace(estimate, **changes)


def make_always_valid(**changes: Any) -> AlwaysValid:
    always = AlwaysValid(
        p_value=0.04,
        effect_ci=Bounds(0.001, 0.04, 0.95),
        lift_ci=Bounds(0.01, 0.42, 0.95),
        looks_n=3,
        refused_n=1,
    )
    return replace(always, **changes)


def make_comparison(**changes: Any) -> ComparisonReport:
    comparison = ComparisonReport(
        arm="treatment",
        control="control",
        n_control=1_000,
        n_arm=1_010,
        raw=make_estimate(),
        adjusted=None,
        always_valid=make_always_valid(),
        guardrail=None,
        incremental=20.2,
        incremental_ci=Bounds(1.0, 40.4, 0.95),
        true_lift=None,
        series=(
            SeriesPoint("2026-03-09", 300, 310, 0.5, None, None),
            SeriesPoint("2026-03-10", 600, 620, 0.25, -0.1, 0.6),
            SeriesPoint("2026-03-11", 1_000, 1_010, 0.2, 0.01, 0.42),
        ),
    )
    return replace(comparison, **changes)


def make_metric(**changes: Any) -> MetricReport:
    metric = MetricReport(
        key="conversion",
        name="Conversion",
        role="primary",
        kind="proportion",
        direction="up",
        unit="share",
        window_hours=168,
        arms=(
            ArmTotals("control", 1_200, 1_000, 0.1, 100.0, 100, 110.0, 110),
            ArmTotals("treatment", 1_210, 1_010, 0.12, 121.0, 121, 130.0, 130),
        ),
        comparisons=(make_comparison(),),
    )
    return replace(metric, **changes)


def make_health(**changes: Any) -> HealthReport:
    health = HealthReport(
        is_healthy=True,
        srm=SrmReport(
            0, 0.8, {"control": 1_200, "treatment": 1_210}, {"control": 1_205.0, "treatment": 1_205.0}, False
        ),
        phases=(),
        multi_arm_n=0,
        multi_arm_share=0.0,
        last_exposure_at="2026-03-11T10:00:00+00:00",
        messages=(Message("srm_fine", {"p_value": 0.8}, level="good"),),
    )
    return replace(health, **changes)


def make_report(**changes: Any) -> ExperimentReport:
    report = ExperimentReport(
        experiment="spring",
        name="Spring",
        at="2026-03-12T00:00:00+00:00",
        currency="EUR",
        arms=(
            ArmReport("control", "Control", True, 0.5, 1_200, 0),
            ArmReport("treatment", "Treatment", False, 0.5, 1_210, 0),
        ),
        health=make_health(),
        metrics=(make_metric(),),
        verdict=Verdict(
            "continue",
            None,
            Message("continue", {"found": 2_010, "needed": 4_000, "metric": "Conversion"}),
            (Message("before_planned_size", {"units": 2_010, "planned": 4_000, "arm": "Treatment"}),),
        ),
        plan=PlanReport(0.05, 0.8, 0.1, 4_000, 14, 9.5, 2_410, 2_010, True),
    )
    return replace(report, **changes)
