"""A metric by days since the first exposure: does an effect wear off, or does it grow?"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Final

from experiments.facts import parts
from experiments.facts.expressions import DAY, HOUR, PlannedMetric, clean_units, inside, near_events
from experiments.ports import Facts

if TYPE_CHECKING:
    import ibis

# Effects of later weeks are better read from the time series.
MOST_DAYS: Final = 28
HOURS_IN_A_DAY: Final = 24


def days_of(metric: PlannedMetric) -> int:
    """How many days since exposure the metric's window has (a delay counts with it)."""
    whole = -(-(metric.definition.delay_hours + metric.definition.window_hours) // HOURS_IN_A_DAY)
    return min(whole, MOST_DAYS)


def has_ages(metric: PlannedMetric) -> bool:
    """Whether the metric is a sum or a count over events, so that it has a value for each day."""
    return (
        parts.is_sum(metric.definition.numerator)
        and metric.definition.denominator is None
        and metric.definition.quantile is None
    )


def numbers_by_age(facts: Facts, *, experiment_key: str, metric: PlannedMetric, until: int) -> ibis.Table:
    """How many units (`units_n`) of an arm and a phase had which `number` on which day since exposure (`age`).

    Zeros are left out, and so are days that a unit has not lived through yet. Values are counted, not summed: their
    squares would overflow 64 bits.
    """
    import ibis

    clean = clean_units(facts.exposures(experiment_key=experiment_key), until=until)
    near = near_events(facts, clean, metrics=[metric], until=until)
    part = metric.definition.numerator
    passed = [(near.at >= near.first_at + day * DAY).ifelse(1, 0) for day in range(1, days_of(metric))]
    age = reduce(lambda one, other: one + other, passed, ibis.literal(0)).cast("int64")
    rows = near.mutate(age=age)
    lived = rows.filter(rows.first_at + (rows.age + 1) * 24 * HOUR <= until)
    condition = parts.matches(lived, part, experiment_key=experiment_key) & inside(lived, metric)
    numbers = lived.group_by("unit", "age").agg(number=parts.aggregate(lived, part, condition))
    named = numbers.filter(numbers.number != 0).inner_join(clean.select("unit", "arm", "phase"), "unit")
    counted = named.group_by("arm", "phase", "age", "number").agg(units_n=lambda table: table.count())
    return counted.order_by("arm", "phase", "age", "number")
