"""The one set of expressions between exposures, events and per-unit totals.

Everything is int64; only sums, counts, min, max, joins and row_number are used, so that SQLite, PostgreSQL,
DuckDB, Spark and ClickHouse give equal integers. Caps, windows that are still open, variances
and quantiles are computed from these totals outside SQL.

All metrics share one scan of the events near the exposures: each is a conditional sum. Only what no sum can say
(different values, first and last values, steps in an order) is a relation of its own (`parts`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.facts import parts
from experiments.ports import Facts, MetricDefinition

if TYPE_CHECKING:
    import ibis

HOUR = 3_600_000_000
DAY = 24 * HOUR


@dataclass(frozen=True, slots=True)
class PlannedMetric:
    """A metric of one experiment; the names of its columns end in its index."""

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
    def per(self) -> str:
        """Column of a ratio: the denominator inside the window."""
        return f"per_{self.index}"

    @property
    def per_before(self) -> str:
        """Column of a ratio: the denominator over the look-back."""
        return f"per_before_{self.index}"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that this metric has, in their order."""
        names = [self.total]
        if self.looks_back:
            names.append(self.before)
        if self.definition.denominator is not None:
            names.append(self.per)
            if self.has_ratio_covariate:
                names.append(self.per_before)
        return tuple(names)

    @property
    def has_ratio_covariate(self) -> bool:
        """Whether the denominator is looked up before the exposure too."""
        return bool(self.looks_back) and not self.definition.covariate_event_types

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


def multi_arm_pairs(exposures: ibis.Table, *, until: int) -> ibis.Table:
    """Units seen in several arms: one row per `unit` and `arm`, in this order."""
    seen = exposures.filter(exposures.first_at < until)
    first = first_exposures(exposures, until=until)
    several = first.filter(first.arm != first.last_arm).select("unit")
    return seen.select("unit", "arm").inner_join(several, "unit").distinct().order_by("unit", "arm")


def later_units(
    facts: Facts, *, experiment_key: str, metrics: Sequence[PlannedMetric], until: int, units: ibis.Table | None = None
) -> ibis.Table:
    """Units for which something is stored that happens at or after `until`, and will count one day: `unit`."""
    exposures = facts.exposures(experiment_key=experiment_key, units=units)
    later = exposures.filter(exposures.first_at >= until).select("unit")
    types = tuple(sorted({name for metric in metrics for name in metric.definition.read_types}))
    if types:
        events = facts.events(event_types=types, properties=(), units=units)
        moment = events.happened_at if "happened_at" in events.columns else events.at
        later = later.union(events.filter((moment >= until) | (events.at >= until)).select("unit"))
    return later.distinct()


def clean_units(exposures: ibis.Table, *, until: int) -> ibis.Table:
    """Units seen in one arm only: `unit`, `arm`, `phase`, `first_at`."""
    first = first_exposures(exposures, until=until)
    return first.filter(first.arm == first.last_arm).select("unit", "arm", "phase", "first_at")


def unit_totals(
    facts: Facts,
    *,
    experiment_key: str,
    metrics: Sequence[PlannedMetric],
    until: int,
    units: ibis.Table | None = None,
) -> ibis.Table:
    """One row per unit seen in one arm, zeros included, in unit order.

    Columns: `unit`, `arm`, `phase`, `first_at` and per metric those of `PlannedMetric.columns`. Events and
    exposures at or after `until` do not count. With `units` (a table of `unit`) only these are computed.
    """
    clean = clean_units(facts.exposures(experiment_key=experiment_key, units=units), until=until)
    if not metrics:
        return clean.order_by("unit")
    relations: list[ibis.Table] = []
    for group in scan_groups(metrics):
        near = near_events(facts, clean, metrics=group, until=until, units=units)
        sums, others = _outcomes(near, experiment_key=experiment_key, metrics=group)
        relations += [near.group_by("unit").agg(**sums), *others] if sums else others
    joined = clean
    for place, relation in enumerate(relations):
        named = relation.rename({f"event_unit_{place}": "unit"})
        joined = joined.left_join(named, joined.unit == named[f"event_unit_{place}"])
    columns = [name for metric in metrics for name in metric.columns]
    return joined.select(
        "unit", "arm", "phase", "first_at", **{name: joined[name].fill_null(0) for name in columns}
    ).order_by("unit")


def event_values(
    facts: Facts, *, experiment_key: str, metric: PlannedMetric, until: int, units: ibis.Table | None = None
) -> ibis.Table:
    """The single values of a metric's events inside the windows: `unit`, `number`, in this order.

    For quantiles of events, whose clusters are the units.
    """
    clean = clean_units(facts.exposures(experiment_key=experiment_key, units=units), until=until)
    near = near_events(facts, clean, metrics=[metric], until=until, units=units)
    part = metric.definition.numerator
    chosen = near.filter(parts.matches(near, part, experiment_key=experiment_key) & inside(near, metric))
    rows = chosen.select("unit", number=parts.number(chosen, part))
    return rows.filter(rows.number.notnull()).order_by("unit", "number")


def scan_groups(metrics: Sequence[PlannedMetric]) -> list[list[PlannedMetric]]:
    """Metrics that read the same types of events, which share one scan: no type is read twice.

    One scan of everything would test each event for each metric; measured, that is twice as slow.
    """
    groups: list[tuple[set[str], list[PlannedMetric]]] = []
    for metric in metrics:
        types, members = set(metric.definition.read_types), [metric]
        for group in [group for group in groups if group[0] & types]:
            groups.remove(group)
            types, members = types | group[0], [*group[1], *members]
        groups.append((types, members))
    return [sorted(members, key=lambda metric: metric.index) for _, members in groups]


def near_events(
    facts: Facts,
    clean: ibis.Table,
    *,
    metrics: Sequence[PlannedMetric],
    until: int,
    units: ibis.Table | None = None,
) -> ibis.Table:
    """The events of clean units between the longest look-back and the end of the longest window."""
    events = facts.events(
        event_types=tuple(sorted({name for metric in metrics for name in metric.definition.read_types})),
        properties=tuple(sorted({name for metric in metrics for name in metric.definition.properties})),
        numbers=tuple(sorted({name for metric in metrics for name in metric.definition.numbers})),
        units=units,
    )
    if "happened_at" in events.columns:
        events = events.filter(events.happened_at < until)
    starts = max(metric.looks_back for metric in metrics)
    ends = max(metric.closes_after for metric in metrics)
    return events.inner_join(clean.select("unit", "first_at"), "unit").filter(
        lambda row: (row.at >= row.first_at - starts) & (row.at < row.first_at + ends) & (row.at < until)
    )


def inside(near: ibis.Table, metric: PlannedMetric) -> ibis.expr.types.BooleanValue:
    """Whether an event lies in the metric's window."""
    return (near.at >= near.first_at + metric.opens_after) & (near.at < near.first_at + metric.closes_after)


def _before(near: ibis.Table, metric: PlannedMetric) -> ibis.expr.types.BooleanValue:
    """Whether an event lies in the look-back, and was known before the exposure."""
    is_before = (near.at >= near.first_at - metric.looks_back) & (near.at < near.first_at)
    return is_before & (near.happened_at < near.first_at) if "happened_at" in near.columns else is_before


def _outcomes(
    near: ibis.Table, *, experiment_key: str, metrics: Sequence[PlannedMetric]
) -> tuple[dict[str, ibis.expr.types.IntegerScalar], list[ibis.Table]]:
    """The conditional sums over the events near an exposure, and the relations that no sum can be."""
    read = {name for metric in metrics for name in metric.definition.read_types}
    sums: dict[str, ibis.expr.types.IntegerScalar] = {}
    others: list[ibis.Table] = []
    for metric in metrics:
        within, before = inside(near, metric), _before(near, metric)
        wanted = [(metric.total, metric.definition.numerator, within)]
        if metric.definition.denominator is not None:
            wanted.append((metric.per, metric.definition.denominator, within))
            if metric.has_ratio_covariate:
                wanted.append((metric.per_before, parts.unordered(metric.definition.denominator), before))
        if metric.looks_back and metric.definition.covariate_event_types:
            named = near.type.isin(metric.definition.covariate_event_types) & before
            sums[metric.before] = named.ifelse(near.value.fill_null(0), 0).sum()
        elif metric.looks_back:
            wanted.append((metric.before, parts.unordered(metric.definition.numerator), before))
        for column, part, when in wanted:
            if parts.is_sum(part):
                condition = parts.matches(near, part, experiment_key=experiment_key, only=read) & when
                sums[column] = parts.aggregate(near, part, condition)
            else:
                others.append(parts.relation(near, part, when, experiment_key=experiment_key, column=column))
    return sums, others
