"""A run: plan + facts → report. It reads and computes; `services.refresh` stores what it returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from django.conf import settings

from experiments.facts.expressions import PlannedMetric
from experiments.models import Arm, Experiment, ExperimentMetric, Look, PhaseArm
from experiments.ports import decode_definition
from experiments.reports import (
    AlwaysValid,
    ArmReport,
    ArmTotals,
    ComparisonReport,
    ExperimentReport,
    MetricReport,
    PlanReport,
    SeriesPoint,
)
from experiments.services.analysis_plan import AnalysisPlan, decode_plan
from experiments.services.estimation import Cells, build_cells, compare_adjusted_arms, compare_arms
from experiments.services.exposure import microseconds
from experiments.services.facts import load_facts
from experiments.services.health import Traffic, check_health
from experiments.services.looks import (
    LookPlan,
    LookValues,
    events_needed,
    report_looks,
    single_look,
    take_looks,
)
from experiments.services.scalars import incremental, scalar_estimate
from experiments.services.totals import UnitTotals, ended_days, exposed_by_day, load_totals
from experiments.services.verdict import Frame, Progress, judge, judge_guardrail

ENGINE_VERSION: Final = "1"
SECONDS_IN_A_DAY: Final = 86_400


@dataclass(frozen=True, slots=True)
class Analysis:
    """What a run found out, and what a replay needs to check it."""

    report: ExperimentReport
    new_looks: tuple[LookValues, ...]
    fingerprint: str
    sql: str
    row_counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class _Run:
    """Everything one run works with."""

    experiment: Experiment
    plan: AnalysisPlan
    arms: tuple[Arm, ...]
    control: int
    weights: dict[tuple[int, str], float]
    phases: tuple[int, ...]
    uses: tuple[ExperimentMetric, ...]
    metrics: tuple[PlannedMetric, ...]
    totals: UnitTotals
    days: list[date]
    day_ends: list[int]
    until: int
    stored: dict[tuple[str, str], list[LookValues]]


def analyze(*, experiment: Experiment, at: datetime) -> Analysis:
    """Analyze an experiment as of `at`; nothing is written.

    Looks that were stored before are taken as they are; only days without one are computed.
    """
    run = _prepare(experiment, at)
    health = check_health(
        traffic=_traffic(run),
        experiment=experiment,
        at=at,
        silent_metrics=_silent_metrics(run),
    )
    new_looks: list[LookValues] = []
    metrics = tuple(_metric_report(run, index, new_looks) for index in range(len(run.metrics)))
    plan = _plan_report(run, metrics, at)
    progress = Progress(
        units=plan.mature_n,
        planned_units=experiment.planned_size,
        days=int(plan.days_running or 0),
        has_ended=experiment.stopped_at is not None and plan.mature_n >= plan.exposed_n,
    )
    report = ExperimentReport(
        experiment=experiment.key,
        name=experiment.name,
        at=at.isoformat(),
        currency=settings.REPORTING_CURRENCY,
        arms=_arm_reports(run),
        health=health,
        metrics=metrics,
        verdict=judge(experiment=experiment, metrics=metrics, health=health, frame=_frame(run), progress=progress),
        plan=plan,
        is_single_look=run.plan.is_single_look,
    )
    return Analysis(
        report=report,
        new_looks=tuple(new_looks),
        fingerprint=run.totals.fingerprint,
        sql=run.totals.sql,
        row_counts={"units": run.totals.units_n, "multi_arm_units": run.totals.multi_arm_n},
    )


def _prepare(experiment: Experiment, at: datetime) -> _Run:
    plan = decode_plan(experiment.plan)
    arms = tuple(experiment.arms.order_by("position"))
    uses = tuple(experiment.metrics.select_related("metric").order_by("pk"))
    metrics = tuple(_planned(index, use) for index, use in enumerate(uses))
    weights = {
        (number, key): weight
        for number, key, weight in PhaseArm.objects.filter(phase__experiment=experiment).values_list(
            "phase__number", "arm__key", "weight"
        )
    }
    phases = tuple(sorted({number for number, _ in weights}))
    until = microseconds(at)
    totals = load_totals(
        facts=load_facts(experiment=experiment),
        experiment_key=experiment.key,
        metrics=metrics,
        arms=[arm.key for arm in arms],
        phases=phases,
        until=until,
    )
    days: list[date] = []
    ends: list[int] = []
    if totals.units_n and not plan.is_single_look:
        days, ends = ended_days(
            first_at=int(totals.first_at.min()), until=until, time_zone=settings.REPORTING_TIME_ZONE
        )
    return _Run(
        experiment=experiment,
        plan=plan,
        arms=arms,
        control=next(index for index, arm in enumerate(arms) if arm.is_control),
        weights=weights,
        phases=phases,
        uses=uses,
        metrics=metrics,
        totals=totals,
        days=days,
        day_ends=ends,
        until=until,
        stored=_stored_looks(experiment),
    )


def _frame(run: _Run) -> Frame:
    return Frame(
        alpha=run.experiment.alpha,
        mde=run.experiment.mde,
        scale=run.plan.scale,
        rules=run.plan.rules,
        is_single_look=run.plan.is_single_look,
    )


def _planned(index: int, use: ExperimentMetric) -> PlannedMetric:
    """The metric with the window that this experiment gives it."""
    stored = dict(use.metric.definition)
    if use.window_hours is not None:
        stored["window_hours"] = use.window_hours
    return PlannedMetric(index=index, key=use.metric.key, definition=decode_definition(stored))


def _stored_looks(experiment: Experiment) -> dict[tuple[str, str], list[LookValues]]:
    found: dict[tuple[str, str], list[LookValues]] = {}
    for look in Look.objects.filter(experiment=experiment).select_related("metric__metric", "arm").order_by("day"):
        values = LookValues(
            metric_key=look.metric.metric.key,
            arm=look.arm.key,
            day=look.day,
            n_control=look.n_control,
            n_arm=look.n_arm,
            effect=look.effect,
            effect_lower=look.effect_lower,
            effect_upper=look.effect_upper,
            lift=look.lift,
            lift_lower=look.lift_lower,
            lift_upper=look.lift_upper,
            p_value=look.p_value,
            refusal=look.refusal,
        )
        found.setdefault((values.metric_key, values.arm), []).append(values)
    return found


def _metric_report(run: _Run, index: int, new_looks: list[LookValues]) -> MetricReport:
    use, metric = run.uses[index], run.metrics[index]
    cells = build_cells(
        totals=run.totals,
        columns=run.totals.metrics[index],
        metric=metric,
        shape=_shape(run),
        day_ends=run.day_ends,
        until=run.until,
    )
    is_adjusted = cells.has_covariate and run.plan.covariates
    covariates = metric.definition.covariate_event_types or (f"{metric.key}",)
    return MetricReport(
        key=metric.key,
        name=use.metric.name,
        role=use.role,  # type: ignore[arg-type]  # a TextChoices column holds one of the roles
        kind=use.metric.kind,  # type: ignore[arg-type]  # a TextChoices column holds one of the kinds
        direction=use.metric.direction,  # type: ignore[arg-type]  # a TextChoices column holds up or down
        unit=use.metric.unit,  # type: ignore[arg-type]  # a TextChoices column holds one of the units
        window_hours=metric.definition.window_hours,
        arms=_arm_totals(run, cells, metric),
        comparisons=tuple(
            _comparison(run, cells, index=index, arm=arm, is_adjusted=is_adjusted, new_looks=new_looks)
            for arm in range(len(run.arms))
            if arm != run.control
        ),
        covariates=tuple(name.removeprefix("covariate:") for name in covariates) if is_adjusted else (),
    )


def _comparison(
    run: _Run, cells: Cells, *, index: int, arm: int, is_adjusted: bool, new_looks: list[LookValues]
) -> ComparisonReport:
    use, key = run.uses[index], run.arms[arm].key
    kind, alpha = use.metric.kind, run.experiment.alpha
    mature = cells.mature()
    # Files of finished experiments keep the documented convention, unpooled z, at any count.
    use_exact = not run.plan.is_single_look
    found_raw = compare_arms(mature, control=run.control, arm=arm, kind=kind, alpha=alpha, use_exact=use_exact)
    raw = scalar_estimate(found_raw)
    adjusted = None
    if is_adjusted:
        found = compare_adjusted_arms(mature, control=run.control, arm=arm, alpha=alpha)
        adjusted = scalar_estimate(found.comparison, variance_saved=found.variance_saved)
    always, series = _always_valid(run, cells, index=index, arm=arm, is_adjusted=is_adjusted, new_looks=new_looks)
    counts = mature.aggregates.count.sum(axis=0)
    deciding = adjusted or raw
    gain, gain_ci = incremental(deciding, always, units=int(counts[arm]), is_single_look=run.plan.is_single_look)
    return ComparisonReport(
        arm=key,
        control=run.arms[run.control].key,
        n_control=int(counts[run.control]),
        n_arm=int(counts[arm]),
        raw=raw,
        adjusted=adjusted,
        always_valid=always,
        guardrail=judge_guardrail(
            use=use, arm=run.arms[arm].name, estimate=deciding, always_valid=always, frame=_frame(run)
        ),
        incremental=gain,
        incremental_ci=gain_ci,
        true_lift=_true_lift(run.experiment, use.metric.key, key),
        series=series,
    )


def _always_valid(
    run: _Run, cells: Cells, *, index: int, arm: int, is_adjusted: bool, new_looks: list[LookValues]
) -> tuple[AlwaysValid, tuple[SeriesPoint, ...]]:
    if run.plan.is_single_look:
        return single_look(), ()
    names = (run.metrics[index].key, run.arms[arm].key)
    plan = LookPlan(
        alpha=run.experiment.alpha,
        planned_units=_planned_units(run, arm),
        scale=run.plan.scale,
        kind=run.uses[index].metric.kind,
    )
    # A replay of an old snapshot must not see the looks of later days.
    stored = [look for look in run.stored.get(names, []) if run.days and look.day <= run.days[-1]]
    seen = {look.day for look in stored}
    taken = take_looks(
        cells=cells, control=run.control, arm=arm, plan=plan, days=run.days, names=names, adjusted=is_adjusted
    )
    fresh = [look for look in taken if look.day not in seen and not (seen and look.day < max(seen))]
    new_looks.extend(fresh)
    events = events_needed(cells.mature(), control=run.control, arm=arm, plan=plan)
    return report_looks([*stored, *fresh], plan=plan, events=events)


def _planned_units(run: _Run, arm: int) -> float | None:
    """N* of a pair: its share of the planned size by the first phase's weights, frozen like these."""
    if not run.experiment.planned_size:
        return None
    first = run.phases[0]
    pair = sum(run.weights[(first, run.arms[index].key)] for index in (run.control, arm))
    total = sum(weight for (phase, _), weight in run.weights.items() if phase == first)
    return max(1.0, run.experiment.planned_size * pair / total)


def _arm_totals(run: _Run, cells: Cells, metric: PlannedMetric) -> tuple[ArmTotals, ...]:
    mature = cells.mature()
    means = mature.aggregates.total(axis=0).mean("y")
    scale = metric.definition.scale
    exposed = cells.aggregates.count.sum(axis=(0, 2))
    closed = mature.aggregates.count.sum(axis=0)
    return tuple(
        ArmTotals(
            arm=arm.key,
            exposed_n=int(exposed[index]),
            mature_n=int(closed[index]),
            value=float(means[index]) if closed[index] else None,
            total=int(mature.sums[:, index].sum()) / scale,
            nonzero_n=int(mature.nonzero[:, index].sum()),
            total_so_far=int(cells.sums[:, index].sum()) / scale,
            nonzero_so_far_n=int(cells.nonzero[:, index].sum()),
        )
        for index, arm in enumerate(run.arms)
    )


def _traffic(run: _Run) -> Traffic:
    observed = {
        (phase, arm.key): int(((run.totals.phase == place) & (run.totals.arm == index)).sum())
        for place, phase in enumerate(run.phases)
        for index, arm in enumerate(run.arms)
    }
    return Traffic(
        observed=observed,
        weights=run.weights,
        phases=run.phases,
        arms=tuple(arm.key for arm in run.arms),
        multi_arm=run.totals.multi_arm,
        multi_arm_n=run.totals.multi_arm_n,
        last_exposure_at=int(run.totals.first_at.max()) if run.totals.units_n else None,
        by_day=None
        if run.plan.is_single_look
        else exposed_by_day(run.totals, shape=_shape(run), day_ends=run.day_ends),
    )


def _shape(run: _Run) -> tuple[int, int]:
    return len(run.phases), len(run.arms)


def _silent_metrics(run: _Run) -> list[str]:
    """Metrics for which not one event has arrived."""
    pairs = zip(run.uses, run.totals.metrics, strict=True)
    return [use.metric.name for use, columns in pairs if not columns.totals.any()]


def _arm_reports(run: _Run) -> tuple[ArmReport, ...]:
    last = run.phases[-1]
    return tuple(
        ArmReport(
            key=arm.key,
            name=arm.name,
            is_control=arm.is_control,
            weight=run.weights.get((last, arm.key), 0.0),
            exposed_n=int((run.totals.arm == index).sum()),
            multi_arm_n=run.totals.multi_arm.get(arm.key, 0),
        )
        for index, arm in enumerate(run.arms)
    )


def _plan_report(run: _Run, metrics: Sequence[MetricReport], at: datetime) -> PlanReport:
    experiment = run.experiment
    primary = next((metric for metric in metrics if metric.role == "primary"), None)
    ended_at = min(experiment.stopped_at or at, at)
    days = None
    if experiment.started_at and not run.plan.is_single_look:
        days = (ended_at - experiment.started_at).total_seconds() / SECONDS_IN_A_DAY
    return PlanReport(
        alpha=experiment.alpha,
        power=experiment.power,
        mde=experiment.mde,
        planned_size=experiment.planned_size,
        planned_days=experiment.planned_days,
        days_running=days,
        exposed_n=run.totals.units_n,
        mature_n=sum(arm.mature_n for arm in primary.arms) if primary else 0,
        covariates=run.plan.covariates,
    )


def _true_lift(experiment: Experiment, metric_key: str, arm_key: str) -> float | None:
    """The generator's truth of a demo experiment, only ever shown beside the estimate."""
    lifts = (experiment.demo_truth or {}).get("lifts", {})
    value = lifts.get(metric_key, {}).get(arm_key)
    return None if value is None else float(value)
