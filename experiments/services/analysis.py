"""A run: plan + facts → report. It reads and computes; `services.refresh` stores what it returns."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final

from django.conf import settings

from experiments.models import Arm, Experiment, Look, PhaseArm
from experiments.ports import Facts
from experiments.reports import ArmReport, Breakdown, ExperimentReport, MetricReport, Novelty, PlanReport
from experiments.services.aggregates_file import Inputs, encode_inputs
from experiments.services.analysis_plan import decode_plan
from experiments.services.analysis_run import Run
from experiments.services.breakdowns import break_down
from experiments.services.exposure import microseconds
from experiments.services.facts import load_facts, watermark_of
from experiments.services.freezing import with_frozen
from experiments.services.health import Traffic, check_health
from experiments.services.looks import LookValues
from experiments.services.metric_reports import measure, report_metric
from experiments.services.novelty import novelty_by_arm
from experiments.services.planned import planned_metrics
from experiments.services.signs import Signs, cell_messages, read_signs, sign_messages
from experiments.services.state import update_totals
from experiments.services.totals import UnitTotals, ended_days, exposed_by_day, load_totals
from experiments.services.verdict import Progress, judge

ENGINE_VERSION: Final = "2"
SECONDS_IN_A_DAY: Final = 86_400


@dataclass(frozen=True, slots=True)
class Analysis:
    """What a run found out, and what a replay needs to check it."""

    report: ExperimentReport
    new_looks: tuple[LookValues, ...]
    fingerprint: str
    sql: str
    row_counts: dict[str, int]
    watermark: dict[str, int] = field(default_factory=dict)
    timings: dict[str, int] = field(default_factory=dict)
    aggregates: bytes = b""


def analyze(*, experiment: Experiment, at: datetime, is_incremental: bool = False) -> Analysis:
    """Analyze an experiment as of `at`; no result is written.

    Looks that were stored before are taken as they are; only days without one are computed. With `is_incremental` the
    totals of units without news are those of the last time (`services.state`).
    """
    clock = _Clock()
    facts = load_facts(experiment=experiment)
    watermark = watermark_of(facts)
    run = _prepare(experiment, at, facts=facts, is_incremental=is_incremental)
    clock.lap("facts")
    inputs = _inputs(run, read_signs(run, watermark, facts=facts))
    clock.lap("aggregates")
    novelty: dict[str, Novelty] = {}
    breakdowns: tuple[Breakdown, ...] = ()
    if run.primary is not None and not run.plan.is_single_look:
        novelty = novelty_by_arm(run, run.primary, facts=facts)
        breakdowns = break_down(run, inputs.measured[run.primary], run.primary, facts=facts)
    clock.lap("details")
    new_looks: list[LookValues] = []
    report = conclude(run, inputs, at=at, new_looks=new_looks, novelty=novelty, breakdowns=breakdowns)
    clock.lap("statistics")
    return Analysis(
        report=report,
        new_looks=tuple(new_looks),
        fingerprint=run.totals.fingerprint,
        sql=run.totals.sql,
        row_counts={
            "units": run.totals.units_n,
            "multi_arm_units": run.totals.multi_arm_n,
            "frozen_units": run.totals.frozen_n,
        },
        watermark=watermark,
        timings=clock.laps,
        aggregates=encode_inputs(inputs, days=run.days),
    )


def conclude(
    run: Run,
    inputs: Inputs,
    *,
    at: datetime,
    new_looks: list[LookValues],
    novelty: Mapping[str, Novelty],
    breakdowns: tuple[Breakdown, ...],
) -> ExperimentReport:
    """The report from sufficient statistics: what a replay can do again when the events are gone."""
    experiment = run.experiment
    health = check_health(
        traffic=inputs.traffic,
        experiment=experiment,
        at=at,
        silent_metrics=inputs.silent_metrics,
        further=[*sign_messages(inputs.signs, experiment, at), *cell_messages(run, inputs.measured)],
    )
    metrics = tuple(
        report_metric(run, index, inputs.measured[index], new_looks=new_looks, novelty=novelty)
        for index in range(len(run.metrics))
    )
    plan = _plan_report(run, inputs, metrics, at)
    progress = Progress(
        units=plan.mature_n,
        planned_units=experiment.planned_size,
        days=int(plan.days_running or 0),
        has_ended=experiment.stopped_at is not None and plan.mature_n >= plan.exposed_n,
    )
    return ExperimentReport(
        experiment=experiment.key,
        name=experiment.name,
        at=at.isoformat(),
        currency=settings.REPORTING_CURRENCY,
        arms=_arm_reports(run, inputs.traffic),
        health=health,
        metrics=metrics,
        verdict=judge(experiment=experiment, metrics=metrics, health=health, frame=run.frame, progress=progress),
        plan=plan,
        is_single_look=run.plan.is_single_look,
        breakdowns=breakdowns,
    )


def prepare_run(experiment: Experiment, at: datetime, *, totals: UnitTotals, days: list[date] | None = None) -> Run:
    """A run over totals that were loaded already; `days` are the ended days where the totals cannot tell them."""
    plan = decode_plan(experiment.plan)
    arms, phases, weights = design_of(experiment)
    uses, metrics = planned_metrics(experiment)
    until = microseconds(at)
    ends: list[int] = []
    if totals.units_n and not plan.is_single_look:
        days, ends = ended_days(
            first_at=int(totals.first_at.min()), until=until, time_zone=settings.REPORTING_TIME_ZONE
        )
    return Run(
        experiment=experiment,
        plan=plan,
        arms=arms,
        control=next(index for index, arm in enumerate(arms) if arm.is_control),
        weights=weights,
        phases=phases,
        uses=uses,
        metrics=metrics,
        totals=totals,
        days=days or [],
        day_ends=ends,
        until=until,
        stored=_stored_looks(experiment),
    )


def _prepare(experiment: Experiment, at: datetime, *, facts: Facts, is_incremental: bool) -> Run:
    arms, phases, _ = design_of(experiment)
    _, metrics = planned_metrics(experiment)
    read = update_totals if is_incremental else load_totals
    totals = read(
        facts=facts,
        experiment=experiment,
        metrics=metrics,
        arms=[arm.key for arm in arms],
        phases=phases,
        until=microseconds(at),
    )
    totals = with_frozen(
        totals,
        experiment=experiment,
        metrics=metrics,
        arms=[arm.key for arm in arms],
        phases=phases,
        until=microseconds(at),
    )
    return prepare_run(experiment, at, totals=totals)


def design_of(experiment: Experiment) -> tuple[tuple[Arm, ...], tuple[int, ...], dict[tuple[int, str], float]]:
    """The arms in their order, the numbers of the phases, and the weights by phase and arm."""
    weights = {
        (number, key): weight
        for number, key, weight in PhaseArm.objects.filter(phase__experiment=experiment).values_list(
            "phase__number", "arm__key", "weight"
        )
    }
    arms = tuple(experiment.arms.order_by("position"))
    return arms, tuple(sorted({number for number, _ in weights})), weights


def _inputs(run: Run, signs: Signs) -> Inputs:
    return Inputs(
        measured=tuple(measure(run, index) for index in range(len(run.metrics))),
        traffic=_traffic(run),
        silent_metrics=tuple(_silent_metrics(run)),
        signs=signs,
    )


class _Clock:
    """Milliseconds between the steps of a run, by the process's own clock."""

    def __init__(self) -> None:
        self.laps: dict[str, int] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps[name] = round((now - self._last) * 1000)
        self._last = now


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


def _traffic(run: Run) -> Traffic:
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
        by_day=None if run.plan.is_single_look else exposed_by_day(run.totals, shape=run.shape, day_ends=run.day_ends),
        frozen_n=run.totals.frozen_n,
    )


def _silent_metrics(run: Run) -> list[str]:
    """Metrics for which not one event has arrived."""
    pairs = zip(run.uses, run.totals.metrics, strict=True)
    return [use.metric.name for use, columns in pairs if not columns.totals.any()]


def _arm_reports(run: Run, traffic: Traffic) -> tuple[ArmReport, ...]:
    last = run.phases[-1]
    return tuple(
        ArmReport(
            key=arm.key,
            name=arm.name,
            is_control=arm.is_control,
            weight=run.weights.get((last, arm.key), 0.0),
            exposed_n=sum(traffic.observed[(phase, arm.key)] for phase in run.phases),
            multi_arm_n=traffic.multi_arm.get(arm.key, 0),
        )
        for arm in run.arms
    )


def _plan_report(run: Run, inputs: Inputs, metrics: Sequence[MetricReport], at: datetime) -> PlanReport:
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
        exposed_n=inputs.traffic.units_n,
        mature_n=sum(arm.mature_n for arm in primary.arms) if primary else 0,
        covariates=run.plan.covariates,
        scale=run.plan.scale,
        rules=run.plan.rules,
        dimensions=tuple(one.name for one in run.plan.dimensions),
        frozen_n=inputs.traffic.frozen_n,
    )
