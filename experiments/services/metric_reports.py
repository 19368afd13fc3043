"""One metric of a run: every arm against control, raw and adjusted, fixed, always valid and Bayesian."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

import numpy as np

from experiments.facts.expressions import PlannedMetric
from experiments.models import Experiment
from experiments.reports import (
    AlwaysValid,
    ArmTotals,
    Bounds,
    ComparisonReport,
    Estimate,
    Message,
    MetricReport,
    Novelty,
    Posterior,
    SeriesPoint,
)
from experiments.services.analysis_run import Run
from experiments.services.estimation import (
    Cells,
    build_cells,
    compare_adjusted_arms,
    compare_arms,
    value_of_arm,
)
from experiments.services.looks import LookPlan, LookValues, events_needed, report_looks, single_look, take_looks
from experiments.services.scalars import incremental, scalar_estimate
from experiments.services.verdict import judge_guardrail
from experiments.stats.bayes import NormalPrior, normal_posterior

# Kinds whose difference times the people is a number of something: a ratio's or a quantile's is not.
ADDITIVE: Final = frozenset(("proportion", "retention", "funnel", "mean", "count"))
UNDEFINED: Final = Estimate(
    effect=None, standard_error=None, effect_ci=None, p_value=None, lift=None, lift_ci=None, lift_p_value=None, df=None,
    mean_control=None, mean_arm=None,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Measured:
    """One metric's cells, the same without its cap, and whether the covariate is used."""

    cells: Cells
    uncapped: Cells | None
    is_adjusted: bool


def measure(run: Run, index: int) -> Measured:
    """Aggregate one metric of the run."""
    metric = run.metrics[index]
    cells = cells_of(run, index)
    is_capped = metric.definition.cap is not None or metric.definition.cap_percentile is not None
    return Measured(
        cells=cells,
        uncapped=cells_of(run, index, is_capped=False) if is_capped else None,
        is_adjusted=cells.has_covariate and run.plan.covariates and run.uses[index].metric.kind != "quantile",
    )


def cells_of(run: Run, index: int, *, is_capped: bool = True) -> Cells:
    """The cells of one metric over everybody."""
    return build_cells(
        totals=run.totals,
        columns=run.totals.metrics[index],
        metric=run.metrics[index],
        kind=run.uses[index].metric.kind,
        shape=run.shape,
        day_ends=run.day_ends,
        until=run.until,
        is_capped=is_capped,
    )


def report_metric(
    run: Run, index: int, measured: Measured, *, new_looks: list[LookValues], novelty: Mapping[str, Novelty]
) -> MetricReport:
    """One metric of the report; looks that are new are added to `new_looks`, `novelty` is by arm."""
    use, metric = run.uses[index], run.metrics[index]
    covariates = metric.definition.covariate_event_types or (f"{metric.key}",)
    return MetricReport(
        key=metric.key,
        name=use.metric.name,
        role=use.role,  # type: ignore[arg-type]  # a TextChoices column holds one of the roles
        kind=use.metric.kind,  # type: ignore[arg-type]  # a TextChoices column holds one of the kinds
        direction=use.metric.direction,  # type: ignore[arg-type]  # a TextChoices column holds up or down
        unit=use.metric.unit,  # type: ignore[arg-type]  # a TextChoices column holds one of the units
        window_hours=metric.definition.window_hours,
        arms=_arm_totals(run, measured.cells, metric),
        comparisons=tuple(
            _comparison(run, measured, index=index, arm=arm, new_looks=new_looks, novelty=novelty)
            for arm in run.treatments
        ),
        covariates=tuple(name.removeprefix("covariate:") for name in covariates) if measured.is_adjusted else (),
        cap=measured.cells.cap,
    )


def _comparison(
    run: Run, measured: Measured, *, index: int, arm: int, new_looks: list[LookValues], novelty: Mapping[str, Novelty]
) -> ComparisonReport:
    use, key, alpha = run.uses[index], run.arms[arm].key, run.experiment.alpha
    mature = measured.cells.mature()
    counts = mature.aggregates.count.sum(axis=0)
    n_control, n_arm = int(counts[run.control]), int(counts[arm])
    refusal = _too_small(run.metrics[index], min(n_control, n_arm))
    raw = _estimate(run, mature, arm, refusal)
    uncapped = None if measured.uncapped is None else _estimate(run, measured.uncapped.mature(), arm, refusal)
    adjusted = None
    if measured.is_adjusted and refusal is None:
        found = compare_adjusted_arms(mature, control=run.control, arm=arm, alpha=alpha)
        adjusted = scalar_estimate(found.comparison, variance_saved=found.variance_saved)
    always, series = _always_valid(run, measured, index=index, arm=arm, new_looks=new_looks)
    deciding = adjusted or raw
    gain, gain_ci = (None, None)
    if use.metric.kind in ADDITIVE:
        gain, gain_ci = incremental(deciding, always, units=n_arm, is_single_look=run.plan.is_single_look)
    return ComparisonReport(
        arm=key,
        control=run.arms[run.control].key,
        n_control=n_control,
        n_arm=n_arm,
        raw=raw,
        adjusted=adjusted,
        always_valid=always,
        guardrail=judge_guardrail(
            use=use,
            arm=run.arms[arm].name,
            estimate=deciding,
            always_valid=always,
            frame=run.frame,
            counts=(int(mature.nonzero[:, arm].sum()), n_arm),
        ),
        incremental=gain,
        incremental_ci=gain_ci,
        true_lift=_true_lift(run.experiment, use.metric.key, key),
        series=series,
        daily=_daily(run, measured, index=index, arm=arm),
        posterior=posterior_of(deciding, prior_sd=run.plan.prior_sd, is_up=use.metric.direction == "up"),
        uncapped=uncapped,
        novelty=novelty.get(key) if use.role == "primary" else None,
    )


def _too_small(metric: PlannedMetric, units: int) -> Message | None:
    """Why nothing is concluded, where the metric asks for more units."""
    needed = metric.definition.minimum_sample
    return None if units >= needed else Message("too_small_sample", {"found": units, "needed": needed})


def _estimate(run: Run, cells: Cells, arm: int, refusal: Message | None) -> Estimate:
    if refusal is not None:
        return replace(UNDEFINED, reason=refusal, lift_reason=refusal)
    # Files of finished experiments keep the documented convention, unpooled z, at any count.
    use_exact = not run.plan.is_single_look
    found = compare_arms(cells, control=run.control, arm=arm, alpha=run.experiment.alpha, use_exact=use_exact)
    return scalar_estimate(found)


def posterior_of(estimate: Estimate, *, prior_sd: float, is_up: bool) -> Posterior | None:
    """The posterior of the absolute effect under N(0, `prior_sd`²) on the lift; `None` where it is undefined."""
    if estimate.effect is None or estimate.standard_error is None or not estimate.mean_control:
        return None
    found = normal_posterior(
        estimate.effect,
        estimate.standard_error,
        prior=NormalPrior(0.0, prior_sd),
        control_mean=estimate.mean_control,
        increase_is_good=is_up,
    )
    if int(found.reasons):
        return None
    return Posterior(
        chance_to_win=float(found.chance_to_win),
        effect=float(found.mean),
        effect_ci=Bounds(float(found.interval.lower), float(found.interval.upper), found.interval.level),
        loss_ship=float(found.loss_treatment),
        loss_keep=float(found.loss_control),
        prior_sd=prior_sd,
    )


def _daily(run: Run, measured: Measured, *, index: int, arm: int) -> tuple[SeriesPoint, ...]:
    """The lift among the people first seen on each day: what a weekend or a promotion did."""
    if not run.days or run.uses[index].metric.kind == "quantile":
        return ()
    cells = measured.cells.daily()
    counts = cells.aggregates.count.sum(axis=0)
    found = compare_arms(cells, control=run.control, arm=arm, alpha=run.experiment.alpha)
    seen_before = timedelta(microseconds=run.metrics[index].closes_after)
    return tuple(
        SeriesPoint(
            day=(day - seen_before).isoformat(),
            n_control=int(counts[run.control, place]),
            n_arm=int(counts[arm, place]),
            lift=_number(found.lift[place]),
            lower=_number(found.lift_ci.lower[place]),
            upper=_number(found.lift_ci.upper[place]),
        )
        for place, day in enumerate(run.days)
        if counts[run.control, place] and counts[arm, place]
    )


def _always_valid(
    run: Run, measured: Measured, *, index: int, arm: int, new_looks: list[LookValues]
) -> tuple[AlwaysValid, tuple[SeriesPoint, ...]]:
    if run.plan.is_single_look:
        return single_look(), ()
    names = (run.metrics[index].key, run.arms[arm].key)
    plan = LookPlan(
        alpha=run.experiment.alpha,
        planned_units=run.planned_units(arm),
        scale=run.plan.scale,
        minimum_sample=run.metrics[index].definition.minimum_sample,
    )
    # A replay of an old snapshot must not see the looks of later days.
    stored = [look for look in run.stored.get(names, []) if run.days and look.day <= run.days[-1]]
    seen = {look.day for look in stored}
    taken = take_looks(
        cells=measured.cells,
        control=run.control,
        arm=arm,
        plan=plan,
        days=run.days,
        names=names,
        adjusted=measured.is_adjusted,
    )
    fresh = [look for look in taken if look.day not in seen and not (seen and look.day < max(seen))]
    new_looks.extend(fresh)
    events = events_needed(measured.cells.mature(), control=run.control, arm=arm, plan=plan)
    return report_looks([*stored, *fresh], plan=plan, events=events)


def _arm_totals(run: Run, cells: Cells, metric: PlannedMetric) -> tuple[ArmTotals, ...]:
    mature = cells.mature()
    scale = metric.definition.scale
    exposed = cells.aggregates.count.sum(axis=(0, 2))
    closed = mature.aggregates.count.sum(axis=0)
    return tuple(
        ArmTotals(
            arm=arm.key,
            exposed_n=int(exposed[index]),
            mature_n=int(closed[index]),
            value=value_of_arm(mature, index) if closed[index] else None,
            total=int(mature.sums[:, index].sum()) / scale,
            nonzero_n=int(mature.nonzero[:, index].sum()),
            total_so_far=int(cells.sums[:, index].sum()) / scale,
            nonzero_so_far_n=int(cells.nonzero[:, index].sum()),
        )
        for index, arm in enumerate(run.arms)
    )


def _true_lift(experiment: Experiment, metric_key: str, arm_key: str) -> float | None:
    """The generator's truth of a demo experiment, only ever shown beside the estimate."""
    lifts = (experiment.demo_truth or {}).get("lifts", {})
    value = lifts.get(metric_key, {}).get(arm_key)
    return None if value is None else float(value)


def _number(value: float) -> float | None:
    number = float(value)
    return number if np.isfinite(number) else None
