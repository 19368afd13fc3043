"""The holdout ledger: the cumulative effect of everything against the global holdout, by quarter.

Intention to treat: everybody who was known counts, by the side of the holdout on which their bucket fell when they
entered (at the quarter's start, or when they were first seen), whatever campaigns reached them afterwards. That needs
no exposure and no attribution, and nothing can be left out of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import numpy as np
from django.conf import settings
from django.db.models import Q

from experiments.bucketing.hashing import BUCKETS, fnv1a32
from experiments.bucketing.vectorized import bucket_numbers
from experiments.choices import DecisionOutcome
from experiments.facts.expressions import PlannedMetric
from experiments.facts.past import EVERYBODY, PopulationFacts
from experiments.models import Decision, Experiment, Holdout, LedgerQuarter, Metric
from experiments.reports import Bounds, Posterior
from experiments.selectors.ledger import QuarterReport, encode_quarter
from experiments.selectors.results import get_reports
from experiments.services.estimation import build_cells, compare_adjusted_arms, compare_arms
from experiments.services.exposure import microseconds
from experiments.services.facts import load_facts
from experiments.services.metric_reports import posterior_of
from experiments.services.scalars import scalar_estimate
from experiments.services.totals import MetricColumns, UnitTotals, load_totals

if TYPE_CHECKING:
    from numpy.typing import NDArray

METRICS: Final = ("conversion", "revenue")
UNIT_TYPE: Final = "profile"
# Refunds and late events of a quarter arrive until then; afterwards it is not computed again.
SETTLED: Final = timedelta(days=14)
# A programme rarely moves everybody's quarter by more than a fifth.
PRIOR_SD: Final = 0.1
ALPHA: Final = 0.05
# Longer than any quarter: the window of a person is cut at the quarter's end.
QUARTER_HOURS: Final = 100 * 24
REST, HELD_OUT = 1, 0


@dataclass(frozen=True, slots=True)
class Quarter:
    """Three months of the reporting time zone; `ends_at` is exclusive."""

    starts_on: date
    starts_at: datetime
    ends_at: datetime


def update_ledger(*, at: datetime) -> list[LedgerQuarter]:
    """Compute every quarter with a holdout that is not settled yet; idempotent."""
    first = Holdout.objects.filter(layer=None, unit_type=UNIT_TYPE).order_by("starts_at").first()
    if first is None:
        return []
    metrics = {metric.key: metric for metric in Metric.objects.filter(key__in=METRICS, is_current=True)}
    settled = set(
        LedgerQuarter.objects.filter(unit_type=UNIT_TYPE, is_closed=True).values_list("starts_on", "metric__key")
    )
    updated = []
    for quarter in quarters_between(first.starts_at, at):
        for key in METRICS:
            if key not in metrics or (quarter.starts_on, key) in settled:
                continue
            report = compute_quarter(quarter=quarter, metric=metrics[key], at=at)
            row, _created = LedgerQuarter.objects.update_or_create(
                unit_type=UNIT_TYPE,
                metric=metrics[key],
                starts_on=quarter.starts_on,
                defaults={
                    "at": at,
                    "is_closed": at >= quarter.ends_at + SETTLED,
                    "report": encode_quarter(report),
                },
            )
            updated.append(row)
    return updated


def quarters_between(since: datetime, until: datetime) -> Iterator[Quarter]:
    """The quarters that overlap [since, until), in their order."""
    zone = ZoneInfo(settings.REPORTING_TIME_ZONE)
    local = since.astimezone(zone)
    start = date(local.year, (local.month - 1) // 3 * 3 + 1, 1)
    while (begin := datetime.combine(start, time.min, tzinfo=zone)) < until:
        following = date(start.year + start.month // 10, (start.month + 2) % 12 + 1, 1)
        end = datetime.combine(following, time.min, tzinfo=zone)
        yield Quarter(starts_on=start, starts_at=begin.astimezone(UTC), ends_at=end.astimezone(UTC))
        start = following


def compute_quarter(*, quarter: Quarter, metric: Metric, at: datetime) -> QuarterReport:
    """One metric of one quarter, as far as it has come."""
    until = microseconds(min(at, quarter.ends_at))
    planned = PlannedMetric(0, metric.key, replace(metric.decoded(), window_hours=QUARTER_HOURS, delay_hours=0))
    totals = load_totals(
        facts=PopulationFacts(load_facts(experiment=Experiment()), since=microseconds(quarter.starts_at), until=until),
        experiment=Experiment(key=""),
        metrics=[planned],
        arms=[EVERYBODY],
        phases=[1],
        until=until,
    )
    wins = _wins(quarter, metric.key, at=at)
    sides = _sides(totals)
    chosen = sides >= 0
    if not (sides == HELD_OUT).any() or not (sides == REST).any():
        return _nothing(int(chosen.sum()), int((sides == HELD_OUT).sum()), wins)
    return _compared(totals, planned, metric, sides=sides, wins=wins)


def _sides(totals: UnitTotals) -> NDArray[np.int64]:
    """For each unit 0 if it was held out when it entered, 1 if not, −1 where no holdout was in force."""
    sides = np.full(totals.units_n, -1, dtype=np.int64)
    assert totals.units is not None
    ids = [str(unit) for unit in totals.units.to_pylist()]
    for holdout in Holdout.objects.filter(layer=None, unit_type=UNIT_TYPE).order_by("starts_at"):
        begin = microseconds(holdout.starts_at)
        end = 2**62 if holdout.ends_at is None else microseconds(holdout.ends_at)
        mine = (totals.first_at >= begin) & (totals.first_at < end)
        if holdout.share == 0.0 or not mine.any():
            continue
        places = np.flatnonzero(mine)
        numbers = bucket_numbers(seed_state=fnv1a32(holdout.seed), unit_ids=[ids[place] for place in places])
        sides[places] = np.where(numbers / BUCKETS < holdout.share, HELD_OUT, REST)
    return sides


def _compared(
    totals: UnitTotals,
    planned: PlannedMetric,
    metric: Metric,
    *,
    sides: NDArray[np.int64],
    wins: tuple[int, float, float],
) -> QuarterReport:
    columns, chosen = totals.metrics[0], sides >= 0
    mine = MetricColumns(
        totals=columns.totals[chosen], before=None if columns.before is None else columns.before[chosen]
    )
    people = replace(
        totals,
        arm=sides[chosen],
        phase=totals.phase[chosen],
        # Everybody's window is taken as closed: it ends with the quarter, or now.
        first_at=np.zeros(int(chosen.sum()), dtype=np.int64),
        metrics=(mine,),
    )
    cells = build_cells(
        totals=people, columns=mine, metric=planned, kind=metric.kind, shape=(1, 2), day_ends=[], until=2**62
    ).mature()
    saved = None
    if cells.has_covariate:
        adjusted = compare_adjusted_arms(cells, control=HELD_OUT, arm=REST, alpha=ALPHA)
        estimate = scalar_estimate(adjusted.comparison, variance_saved=adjusted.variance_saved)
        saved = estimate.variance_saved
    else:
        estimate = scalar_estimate(compare_arms(cells, control=HELD_OUT, arm=REST, alpha=ALPHA, use_exact=True))
    counts = cells.aggregates.count.sum(axis=0)
    treated = int(counts[REST])
    shrunk = posterior_of(estimate, prior_sd=PRIOR_SD, is_up=metric.direction == "up")
    return QuarterReport(
        people_n=int(counts.sum()),
        held_out_n=int(counts[HELD_OUT]),
        mean_rest=estimate.mean_arm,
        mean_held_out=estimate.mean_control,
        effect=estimate.effect,
        effect_ci=estimate.effect_ci,
        p_value=estimate.p_value,
        lift=estimate.lift,
        lift_ci=estimate.lift_ci,
        incremental=None if estimate.effect is None else estimate.effect * treated,
        incremental_ci=_times(estimate.effect_ci, treated),
        shrunk=None if shrunk is None else shrunk.effect * treated,
        shrunk_ci=None if shrunk is None else _times(shrunk.effect_ci, treated),
        variance_saved=saved,
        wins_n=wins[0],
        wins=wins[1],
        wins_shrunk=wins[2],
        reason="" if estimate.reason is None else estimate.reason.code,
    )


def _nothing(people_n: int, held_out_n: int, wins: tuple[int, float, float]) -> QuarterReport:
    empty: dict[str, Any] = dict.fromkeys(
        ("mean_rest", "mean_held_out", "effect", "effect_ci", "p_value", "lift", "lift_ci", "incremental",
         "incremental_ci", "shrunk", "shrunk_ci", "variance_saved")
    )  # fmt: skip
    return QuarterReport(
        people_n=people_n,
        held_out_n=held_out_n,
        wins_n=wins[0],
        wins=wins[1],
        wins_shrunk=wins[2],
        reason="too_few_units",
        **empty,
    )


def _wins(quarter: Quarter, metric_key: str, *, at: datetime) -> tuple[int, float, float]:
    """Shipped experiments that ran in the quarter: how many, what their arms claim to have brought, and shrunk."""
    overlaps = Q(started_at__lt=quarter.ends_at) & (Q(decided_at__gte=quarter.starts_at) | Q(decided_at=None))
    shipped = Decision.objects.standing().filter(
        outcome=DecisionOutcome.SHIP, at__lt=at, experiment__in=Experiment.objects.filter(overlaps)
    )
    arms = dict(shipped.values_list("experiment__key", "arm__key"))
    claims: list[tuple[float, Posterior | None, int]] = [
        (one.incremental, one.posterior, one.n_arm)
        for key, report in get_reports(experiment_keys=arms).items()
        for metric in report.metrics
        if metric.key == metric_key
        for one in metric.comparisons
        if one.arm == arms[key] and one.incremental is not None
    ]
    shrunk = sum(gain if posterior is None else posterior.effect * n for gain, posterior, n in claims)
    return len(claims), sum(gain for gain, _, _ in claims), shrunk


def _times(bounds: Bounds | None, people: int) -> Bounds | None:
    if bounds is None or bounds.lower is None or bounds.upper is None:
        return None
    return Bounds(bounds.lower * people, bounds.upper * people, bounds.level)
