"""The certificate before a launch: the experiment on the past, where there was no effect, as a thousand A/A tests.

Outcomes are read once, by the same expressions as ever, for everybody who would have been exposed; then the units are
assigned anew under each of many seeds, by the same hash, and every metric is tested as it will be. What comes out
significant is false: the share tells whether alpha is what it says on this shop's data.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from experiments.bucketing.allocation import arm_table
from experiments.bucketing.hashing import fnv1a32
from experiments.bucketing.vectorized import PreparedUnits
from experiments.errors import ExperimentsError, UnknownExperiment
from experiments.facts.past import EVERYBODY, PastFacts
from experiments.models import Arm, Certificate, Experiment, ExperimentMetric, PhaseArm
from experiments.selectors.certificates import CertificateReport, MetricCertificate, encode_certificate
from experiments.services.analysis_plan import decode_plan
from experiments.services.estimation import RATIO, Cells, compare_adjusted_arms, compare_arms, metric_data
from experiments.services.exposure import microseconds
from experiments.services.facts import load_facts
from experiments.services.planned import planned_metrics
from experiments.services.planning import plan as plan_size
from experiments.services.totals import UnitTotals, load_totals
from experiments.stats.aggregates import Aggregates, aggregate, choose_shift
from experiments.stats.linear import linearize
from experiments.stats.power import Design, detectable_effect, mean_baseline, proportion_baseline
from experiments.stats.srm import srm_test

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEEDS: Final = 1_000
# What makes somebody reach an experiment, unless it is told otherwise.
TRIGGERS: Final = ("Page Viewed", "Product Viewed", "Product Added", "Order Completed")
# Four whole weeks: weekdays alike, and recent enough to be like the weeks to come.
PAST_DAYS: Final = 28
SRM_LEVEL: Final = 0.01
# Fewer people than this make no thousand meaningful tests.
FEWEST_UNITS: Final = 200
# One-sided 0.1 %: a certificate of ten rows is called unsound by chance once in a hundred times, not once in five.
CHANCE_Z: Final = 3.090232306167813
# Seeds and units that are worked on at once: the blocks of one product of matrices stay below 50 MB.
SEED_BLOCK: Final = 50
UNIT_BLOCK: Final = 1 << 16

Progress = Callable[[int, int], None]


class CannotCertify(ExperimentsError):
    """There is not enough of a past to test on."""


@dataclass(frozen=True, slots=True)
class _Past:
    """What is read once, and how the units will be divided."""

    experiment: Experiment
    arms: tuple[Arm, ...]
    control: int
    weights: tuple[float, ...]
    coverage: float
    uses: tuple[ExperimentMetric, ...]
    totals: UnitTotals
    units: PreparedUnits


def certify(
    *,
    experiment_key: str,
    at: datetime,
    seeds: int = SEEDS,
    triggers: Sequence[str] = TRIGGERS,
    days: int = PAST_DAYS,
    progress: Progress = lambda _done, _total: None,
) -> Certificate:
    """Replay an experiment on the past and store what came out. Raises `UnknownExperiment`, `CannotCertify`."""
    started = time.monotonic()
    experiment = Experiment.objects.filter(key=experiment_key).first()
    if experiment is None:
        raise UnknownExperiment(experiment_key)
    past, since, until = _read(experiment, at=at, triggers=triggers, days=days)
    report = _report(past, at=at, since=since, until=until, seeds=seeds, triggers=triggers, days=days, told=progress)
    return Certificate.objects.create(
        experiment=experiment,
        at=at,
        report=encode_certificate(report),
        duration_ms=round((time.monotonic() - started) * 1000),
    )


def _read(
    experiment: Experiment, *, at: datetime, triggers: Sequence[str], days: int
) -> tuple[_Past, datetime, datetime]:
    """Everybody who would have been exposed in the past days, with what they did in their windows."""
    uses, metrics = planned_metrics(experiment)
    longest = max((metric.closes_after for metric in metrics), default=0)
    until = at - timedelta(microseconds=longest)
    since = until - timedelta(days=days)
    totals = load_totals(
        facts=PastFacts(
            load_facts(experiment=experiment), triggers=triggers, since=microseconds(since), until=microseconds(until)
        ),
        experiment=experiment,
        metrics=metrics,
        arms=[EVERYBODY],
        phases=[1],
        until=microseconds(at),
    )
    if totals.units_n < FEWEST_UNITS:
        raise CannotCertify(
            f"{totals.units_n} people had one of the events {', '.join(triggers)} between {since:%Y-%m-%d} and "
            f"{until:%Y-%m-%d}; {FEWEST_UNITS} are needed. Name other events with --trigger, or more days with --days."
        )
    arms = tuple(experiment.arms.order_by("position"))
    shares = dict(
        PhaseArm.objects.filter(phase__experiment=experiment, phase__number=1).values_list("arm__key", "weight")
    )
    assert totals.units is not None
    past = _Past(
        experiment=experiment,
        arms=arms,
        control=next((index for index, arm in enumerate(arms) if arm.is_control), 0),
        weights=tuple(shares[arm.key] for arm in arms),
        coverage=experiment.phases.get(number=1).coverage,
        uses=uses,
        totals=totals,
        units=PreparedUnits([str(unit) for unit in totals.units.to_pylist()]),
    )
    return past, since, until


def _report(
    past: _Past,
    *,
    at: datetime,
    since: datetime,
    until: datetime,
    seeds: int,
    triggers: Sequence[str],
    days: int,
    told: Progress,
) -> CertificateReport:
    metrics = planned_metrics(past.experiment)[1]
    tested = [index for index, use in enumerate(past.uses) if use.metric.kind != "quantile"]
    columns = [metric_data(past.totals.metrics[index], metrics[index]) for index in tested]
    cells, counts = _replay(past, columns, seeds=seeds, told=told)
    alarms = srm_test(counts, past.weights).p_value < SRM_LEVEL
    srm_n = int(alarms.sum())
    lower, upper = wilson(srm_n, seeds)
    return CertificateReport(
        at=at.isoformat(),
        since=since.isoformat(),
        until=until.isoformat(),
        triggers=tuple(triggers),
        units_n=past.totals.units_n,
        days=days,
        seeds_n=seeds,
        alpha=past.experiment.alpha,
        srm_false_alarms_n=srm_n,
        srm_rate=srm_n / seeds,
        srm_lower=lower,
        srm_upper=upper,
        is_balanced=not _is_excessive(srm_n, seeds, promised=SRM_LEVEL),
        planned_size=past.experiment.planned_size,
        units_per_day=past.totals.units_n / days,
        metrics=tuple(
            _metric(past, past.uses[index], cell, columns[place], arm=arm, days=days)
            for place, (index, cell) in enumerate(zip(tested, cells, strict=True))
            for arm in range(len(past.arms))
            if arm != past.control
        ),
        left_out=tuple(use.metric.name for use in past.uses if use.metric.kind == "quantile"),
    )


def _replay(
    past: _Past, columns: Sequence[dict[str, NDArray[np.float64]]], *, seeds: int, told: Progress
) -> tuple[list[Cells], NDArray[np.float64]]:
    """The sufficient statistics of every metric by arm and seed, and the counts (seeds × arms).

    The sums of all arms under many seeds are one product: indicator (seeds × units) times terms (units × columns).
    """
    shifts = [[choose_shift(column) for column in data.values()] for data in columns]
    terms, layout = _terms(columns, shifts)
    arms_n = len(past.arms)
    table = np.frombuffer(arm_table(weights=past.weights, coverage=past.coverage), dtype=np.uint8)
    counts = np.zeros((seeds, arms_n))
    sums = np.zeros((arms_n, seeds, terms.shape[1]))
    for begin in range(0, seeds, SEED_BLOCK):
        block = range(begin, min(begin + SEED_BLOCK, seeds))
        assigned = np.empty((len(block), past.totals.units_n), dtype=np.uint8)
        for row, seed in enumerate(block):
            state = fnv1a32(f"{past.experiment.seed}:certificate:{seed}")
            assigned[row] = table[past.units.bucket_numbers(seed_state=state)]
        chosen = slice(begin, begin + len(block))
        for first in range(0, past.totals.units_n, UNIT_BLOCK):
            part = assigned[:, first : first + UNIT_BLOCK]
            for arm in range(arms_n):
                is_in = (part == arm).astype(np.float64)
                counts[chosen, arm] += is_in.sum(axis=1)
                sums[arm, chosen] += is_in @ terms[first : first + UNIT_BLOCK]
        told(begin + len(block), seeds)
    kinds = [use.metric.kind for use in past.uses if use.metric.kind != "quantile"]
    cells = [
        _cells(kind, data, shift, counts, sums[:, :, place])
        for kind, data, shift, place in zip(kinds, columns, shifts, layout, strict=True)
    ]
    return cells, counts


def _terms(
    columns: Sequence[dict[str, NDArray[np.float64]]], shifts: Sequence[Sequence[float]]
) -> tuple[NDArray[np.float64], list[slice]]:
    """What is summed for each unit: shifted columns and their products, metric after metric."""
    stacked: list[NDArray[np.float64]] = []
    layout = []
    for data, shift in zip(columns, shifts, strict=True):
        begin = len(stacked)
        centred = [column - origin for column, origin in zip(data.values(), shift, strict=True)]
        stacked += centred
        stacked += [one * other for place, one in enumerate(centred) for other in centred[place:]]
        layout.append(slice(begin, len(stacked)))
    return np.column_stack(stacked), layout


def _cells(
    kind: str,
    data: dict[str, NDArray[np.float64]],
    shift: Sequence[float],
    counts: NDArray[np.float64],
    sums: NDArray[np.float64],
) -> Cells:
    """Cells of one phase × arms × seeds: what a comparison takes, a seed where it expects a day."""
    k = len(data)
    products = np.empty((*sums.shape[:2], k, k))
    place = k
    for one in range(k):
        for other in range(one, k):
            products[..., one, other] = products[..., other, one] = sums[..., place]
            place += 1
    count = counts.T[None]
    aggregates = Aggregates(
        columns=tuple(data),
        shift=np.array(shift),
        count=count,
        weight=count,
        weight_squares=count,
        sums=sums[None, ..., :k],
        products=products[None],
    )
    return Cells(
        kind=kind,
        aggregates=aggregates,
        nonzero=count,
        sums=np.zeros(count.shape, dtype=np.int64),
        has_covariate="x" in data and bool(np.any(data["x"])),
    )


def _metric(
    past: _Past,
    use: ExperimentMetric,
    cells: Cells,
    data: dict[str, NDArray[np.float64]],
    *,
    arm: int,
    days: int,
) -> MetricCertificate:
    experiment = past.experiment
    plan = decode_plan(experiment.plan)
    saved: float | None = None
    if cells.has_covariate and plan.covariates:
        found = compare_adjusted_arms(cells, control=past.control, arm=arm, alpha=experiment.alpha)
        comparison = found.comparison
        known = found.variance_saved[np.isfinite(found.variance_saved)]
        saved = float(np.median(known)) if known.size else None
    else:
        comparison = compare_arms(cells, control=past.control, arm=arm, alpha=experiment.alpha, use_exact=True)
    p_values = comparison.lift_p_value if plan.scale == "relative" else comparison.p_value
    p_values = p_values[np.isfinite(p_values)]
    false_n = int((p_values < experiment.alpha).sum())
    lower, upper = wilson(false_n, p_values.size)
    mean, deviation = _spread(cells.kind, data)
    return MetricCertificate(
        metric=use.metric.key,
        name=use.metric.name,
        unit=use.metric.unit,
        role=use.role,
        arm=past.arms[arm].name,
        seeds_n=int(p_values.size),
        false_positives_n=false_n,
        rate=false_n / p_values.size if p_values.size else None,
        rate_lower=lower,
        rate_upper=upper,
        mean=mean,
        standard_deviation=deviation,
        variance_saved=saved,
        is_sound=not _is_excessive(false_n, p_values.size, promised=experiment.alpha) if p_values.size else None,
        alpha=experiment.alpha,
        **_effort(past, cells.kind, mean, deviation, saved or 0.0, days=days),
    )


def _spread(kind: str, data: dict[str, NDArray[np.float64]]) -> tuple[float | None, float | None]:
    """Mean and standard deviation of the metric per unit, of a ratio those of its linear form."""
    together = aggregate(data, shift=[choose_shift(column) for column in data.values()])
    if kind != "ratio":
        return _finite(together.mean("y")), _finite(np.sqrt(together.variance("y")))
    linear = linearize(together, RATIO)
    gradient = linear.gradient
    variance = np.einsum("...i,...ij,...j", gradient, together.covariance_matrix(together.columns), gradient)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = together.mean("y") / together.mean("d")
    return _finite(value), _finite(np.sqrt(variance))


def _effort(
    past: _Past, kind: str, mean: float | None, deviation: float | None, saved: float, *, days: int
) -> dict[str, Any]:
    """What the planned size can detect, and how many days the planned effect takes at the past's traffic."""
    experiment = past.experiment
    nothing: dict[str, Any] = {"mde": None, "days_needed": None}
    if not mean or mean <= 0 or not deviation:
        return nothing
    order = [past.control, *(index for index in range(len(past.arms)) if index != past.control)]
    weights = tuple(past.weights[index] for index in order)
    design = Design(alpha=experiment.alpha, power=experiment.power, weights=weights, sequential=True)
    size = experiment.planned_size or past.totals.units_n
    is_share = kind in ("proportion", "retention", "funnel") and mean < 1
    baseline = (
        proportion_baseline(mean)
        if is_share and not saved
        else mean_baseline(mean, deviation**2, variance_reduction=max(0.0, saved))
    )
    needed = None
    if experiment.mde:
        needed = plan_size(
            baseline=mean,
            mde=experiment.mde,
            alpha=experiment.alpha,
            power=experiment.power,
            weights=weights,
            daily_units=past.totals.units_n / days * past.coverage,
            standard_deviation=deviation * math.sqrt(1 - max(0.0, min(saved, 0.99))),
        ).days
    return {"mde": detectable_effect(baseline, size, design=design).mde, "days_needed": needed}


def wilson(hits: int, trials: int, z: float = 1.959963984540054) -> tuple[float | None, float | None]:
    """The score interval of a share, 95 % unless told; `None` without a trial. Source: Wilson, JASA 22 (1927).

    >>> [round(bound, 4) for bound in wilson(50, 1000)]
    [0.0381, 0.0653]
    """
    if not trials:
        return None, None
    share, square = hits / trials, z * z
    centre = (share + square / (2 * trials)) / (1 + square / trials)
    half = z / (1 + square / trials) * math.sqrt(share * (1 - share) / trials + square / (4 * trials**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def _is_excessive(hits: int, trials: int, *, promised: float) -> bool:
    """Whether there were more false alarms than promised, by more than chance explains."""
    lower, _ = wilson(hits, trials, CHANCE_Z)
    return lower is not None and lower > promised


def _finite(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
