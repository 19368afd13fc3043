"""The one set of expressions between exposures, events and per-unit totals.

Everything is int64; only sums, counts, min, max and joins are used, so that SQLite, PostgreSQL,
DuckDB, Spark and ClickHouse give equal integers. Caps, windows that are still open, variances
and quantiles are computed from these totals outside SQL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.ports import EXPERIMENT_PLACEHOLDER, Facts, MetricDefinition

if TYPE_CHECKING:
    import ibis

HOUR = 3_600_000_000
DAY = 24 * HOUR


@dataclass(frozen=True, slots=True)
class PlannedMetric:
    """A metric of one experiment; its columns are `total_<index>` and `before_<index>`."""

    index: int
    key: str
    definition: MetricDefinition

    @property
    def total(self) -> str:
        """Column: the number inside the window after the first exposure."""
        return f"total_{self.index}"

    @property
    def before(self) -> str:
        """Column: the same number over the look-back before the first exposure."""
        return f"before_{self.index}"

    @property
    def opens_after(self) -> int:
        """Microseconds from the first exposure to the window's start."""
        return self.definition.delay_hours * HOUR

    @property
    def closes_after(self) -> int:
        """Microseconds from the first exposure to the window's end (exclusive)."""
        return self.opens_after + self.definition.window_hours * HOUR

    @property
    def looks_back(self) -> int:
        """Microseconds before the first exposure that the covariate covers."""
        return self.definition.lookback_days * DAY


def first_exposures(exposures: ibis.Table, *, until: int) -> ibis.Table:
    """One row per unit: first exposure over all arms, and whether it was seen in two arms."""
    seen = exposures.filter(exposures.first_at < until)
    return seen.group_by("unit").agg(
        arm=seen.arm.min(),
        last_arm=seen.arm.max(),
        phase=seen.phase.min(),
        first_at=seen.first_at.min(),
    )


def multi_arm_units(exposures: ibis.Table, *, until: int) -> ibis.Table:
    """Units seen in two arms: per `arm`, `seen_n` units that this arm saw too, and `units_n`.

    `units_n` counts each such unit once, in the alphabetically first of its arms, so that the sum
    over arms is the number of units.
    """
    seen = exposures.filter(exposures.first_at < until)
    pairs = seen.select("unit", "arm").distinct()
    first = first_exposures(exposures, until=until)
    multi = first.filter(first.arm != first.last_arm).select("unit", first_arm=first.arm)
    doubled = pairs.inner_join(multi, "unit").select(pairs.arm, multi.first_arm)
    is_first = (doubled.arm == doubled.first_arm).ifelse(1, 0).cast("int64")
    return doubled.group_by("arm").agg(seen_n=doubled.count(), units_n=is_first.sum()).order_by("arm")


def unit_totals(facts: Facts, *, experiment_key: str, metrics: Sequence[PlannedMetric], until: int) -> ibis.Table:
    """One row per unit seen in one arm, zeros included, in unit order.

    Columns: `unit`, `arm`, `phase`, `first_at` and per metric `total_<i>` and, where the
    definition looks back, `before_<i>`. Events and exposures at or after `until` do not count.
    """
    first = first_exposures(facts.exposures(experiment_key=experiment_key), until=until)
    clean = first.filter(first.arm == first.last_arm).select("unit", "arm", "phase", "first_at")
    if not metrics:
        return clean.order_by("unit")
    outcomes = _outcomes(facts, clean, experiment_key=experiment_key, metrics=metrics, until=until)
    columns = [name for name in outcomes.columns if name != "event_unit"]
    joined = clean.left_join(outcomes, clean.unit == outcomes.event_unit)
    return joined.select(
        clean.unit,
        clean.arm,
        clean.phase,
        clean.first_at,
        **{name: outcomes[name].fill_null(0) for name in columns},
    ).order_by("unit")


def _outcomes(
    facts: Facts,
    clean: ibis.Table,
    *,
    experiment_key: str,
    metrics: Sequence[PlannedMetric],
    until: int,
) -> ibis.Table:
    """Per unit with at least one event near its exposure: the totals of every metric."""
    event_types = tuple(sorted({name for metric in metrics for name in _event_types(metric.definition)}))
    properties = tuple(sorted({name for metric in metrics for name in metric.definition.properties}))
    events = facts.events(event_types=event_types, properties=properties)
    starts = max(metric.looks_back for metric in metrics)
    ends = max(metric.closes_after for metric in metrics)
    near = events.inner_join(clean.select("unit", "first_at"), "unit").filter(
        lambda row: (row.at >= row.first_at - starts) & (row.at < row.first_at + ends) & (row.at < until)
    )
    totals = {}
    for metric in metrics:
        counts = _matches(near, metric.definition, experiment_key=experiment_key)
        inside = (near.at >= near.first_at + metric.opens_after) & (near.at < near.first_at + metric.closes_after)
        totals[metric.total] = _aggregate(near, metric.definition, counts & inside)
        if metric.looks_back:
            before = (near.at >= near.first_at - metric.looks_back) & (near.at < near.first_at)
            totals[metric.before] = _covariate(near, metric.definition, counts, before)
    return near.group_by("unit").agg(**totals).rename(event_unit="unit")


def _event_types(definition: MetricDefinition) -> tuple[str, ...]:
    return (*definition.event_types, *definition.covariate_event_types)


def _covariate(
    events: ibis.Table,
    definition: MetricDefinition,
    counts: ibis.expr.types.BooleanValue,
    before: ibis.expr.types.BooleanValue,
) -> ibis.expr.types.IntegerScalar:
    """The metric's own number before the exposure, or the sum of the events that the plan names."""
    if not definition.covariate_event_types:
        return _aggregate(events, definition, counts & before)
    named = events.type.isin(definition.covariate_event_types) & before
    return named.ifelse(events.value.fill_null(0), 0).sum()


def _matches(events: ibis.Table, definition: MetricDefinition, *, experiment_key: str) -> ibis.expr.types.BooleanValue:
    """Whether an event belongs to the metric: its type first, so that properties are read last."""
    matches = events.type.isin(definition.event_types)
    for item in definition.filters:
        value = experiment_key if item.value == EXPERIMENT_PLACEHOLDER else item.value
        matches = matches & (events[f"property_{item.property}"] == value)
    return matches


def _aggregate(
    events: ibis.Table, definition: MetricDefinition, condition: ibis.expr.types.BooleanValue
) -> ibis.expr.types.IntegerScalar:
    """The metric's aggregation over the events that satisfy the condition."""
    if definition.aggregation == "sum":
        return condition.ifelse(events.value.fill_null(0), 0).sum()
    flags = condition.ifelse(1, 0).cast("int64")
    return flags.max() if definition.aggregation == "exists" else flags.sum()
