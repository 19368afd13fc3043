"""From the facts to columns of per-unit totals: integers in unit order, one row per exposed unit."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from experiments.facts.expressions import PlannedMetric, event_values, multi_arm_pairs, unit_totals
from experiments.models import Experiment
from experiments.ports import Facts
from experiments.services.exposure import microseconds

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class EventValues:
    """The single values of a metric's events; `unit` is the row of each in the other columns."""

    unit: NDArray[np.int64]
    values: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class MetricColumns:
    """One metric of all units: `totals` inside the window, `before` the covariate or `None`.

    A ratio divides by `per` (its look-back: `per_before`); a quantile of events has the values of these.
    """

    totals: NDArray[np.int64]
    before: NDArray[np.int64] | None
    per: NDArray[np.int64] | None = None
    per_before: NDArray[np.int64] | None = None
    events: EventValues | None = None


@dataclass(frozen=True, slots=True)
class UnitTotals:
    """Everything the statistics need; `arm` and `phase` are positions in the given orders."""

    arm: NDArray[np.int64]
    phase: NDArray[np.int64]
    first_at: NDArray[np.int64]
    metrics: tuple[MetricColumns, ...]
    multi_arm: dict[str, int]
    multi_arm_n: int
    fingerprint: str
    sql: str
    # The unit of each row; frozen units have none and come last.
    units: pa.ChunkedArray | None = None
    frozen_n: int = 0

    @property
    def units_n(self) -> int:
        """Units seen in one arm."""
        return int(self.arm.size)


def load_totals(
    *,
    facts: Facts,
    experiment: Experiment,
    metrics: Sequence[PlannedMetric],
    arms: Sequence[str],
    phases: Sequence[int],
    until: int,
) -> UnitTotals:
    """Run the one expression on the facts; everything before `until` (µs, exclusive) counts."""
    experiment_key = experiment.key
    expression = unit_totals(facts, experiment_key=experiment_key, metrics=metrics, until=until)
    return build_totals(
        units=facts.execute(expression),
        pairs=facts.execute(multi_arm_pairs(facts.exposures(experiment_key=experiment_key), until=until)),
        values={
            metric.key: facts.execute(event_values(facts, experiment_key=experiment_key, metric=metric, until=until))
            for metric in metrics
            if metric.definition.per_event
        },
        metrics=metrics,
        arms=arms,
        phases=phases,
        sql=facts.compile(expression),
    )


def build_totals(
    *,
    units: pa.Table,
    pairs: pa.Table,
    values: Mapping[str, pa.Table],
    metrics: Sequence[PlannedMetric],
    arms: Sequence[str],
    phases: Sequence[int],
    sql: str,
) -> UnitTotals:
    """The columns from the rows of the expressions, `values` by the metric's key.

    `pairs` are the units left out because several arms saw them, once for each of these arms.
    """
    return UnitTotals(
        arm=_positions(units.column("arm"), arms),
        phase=_positions(units.column("phase"), phases),
        first_at=_integers(units.column("first_at")),
        metrics=tuple(_metric_columns(units, metric, values.get(metric.key)) for metric in metrics),
        multi_arm=dict(Counter(pairs.column("arm").to_pylist())),
        multi_arm_n=len(set(pairs.column("unit").to_pylist())),
        fingerprint=_fingerprint([units, *values.values()]),
        sql=sql,
        units=units.column("unit"),
    )


def _metric_columns(units: pa.Table, metric: PlannedMetric, values: pa.Table | None) -> MetricColumns:
    found = {name: _integers(units.column(name)) for name in metric.columns}
    return MetricColumns(
        totals=found[metric.total],
        before=found.get(metric.before),
        per=found.get(metric.per),
        per_before=found.get(metric.per_before),
        events=None if values is None else _event_values(units.column("unit"), values),
    )


def _event_values(units: pa.ChunkedArray, values: pa.Table) -> EventValues:
    """The values with the row of their unit; a unit that was not there a moment before has no row yet."""
    import numpy as np
    import pyarrow.compute as pc

    # Not `fill_null`: pyarrow's scalars import pandas, which would cost each process 30 MB.
    places = pc.index_in(values.column("unit"), value_set=units)
    numbers = values.column("number").filter(pc.is_valid(places))
    return EventValues(unit=_numbers(pc.drop_null(places).combine_chunks(), np.int32), values=_integers(numbers))


def ended_days(*, first_at: int, until: int, time_zone: str) -> tuple[list[date], list[int]]:
    """The calendar days from the first exposure on that ended by `until`, and when each ended (µs)."""
    zone = ZoneInfo(time_zone)
    day = datetime.fromtimestamp(first_at // MICROSECONDS, tz=zone).date()
    days: list[date] = []
    ends: list[int] = []
    while True:
        end = microseconds(datetime.combine(day + timedelta(days=1), time.min, tzinfo=zone))
        if end > until:
            return days, ends
        days.append(day)
        ends.append(end)
        day += timedelta(days=1)


def exposed_by_day(totals: UnitTotals, *, shape: tuple[int, int], day_ends: Sequence[int]) -> NDArray[np.int64]:
    """Units exposed by the end of each day, cumulative: days × phases × arms (`shape`)."""
    import numpy as np

    day = np.searchsorted(np.asarray(day_ends, dtype=np.int64), totals.first_at, side="right")
    cells = (day * shape[0] + totals.phase) * shape[1] + totals.arm
    counts = np.bincount(cells, minlength=(len(day_ends) + 1) * shape[0] * shape[1])
    return counts.reshape(-1, *shape)[: len(day_ends)].cumsum(axis=0)


def column_of(table: pa.Table, name: str) -> NDArray[np.int64]:
    """A column of integers without NULL."""
    return _integers(table.column(name))


def _integers(column: pa.ChunkedArray) -> NDArray[np.int64]:
    import numpy as np

    return _numbers(column.combine_chunks(), np.int64)


def _numbers(array: pa.Array, kind: type[np.integer[Any]]) -> NDArray[np.int64]:
    """The integers of an array without NULL, read from its buffer: `to_numpy` would import pandas."""
    import numpy as np

    if not len(array):
        return np.zeros(0, dtype=np.int64)
    stop = array.offset + len(array)
    return np.frombuffer(array.buffers()[1], dtype=kind)[array.offset : stop].astype(np.int64)


def _positions(column: pa.ChunkedArray, order: Sequence[str] | Sequence[int]) -> NDArray[np.int64]:
    """Where each value stands in the order; ValueError for a value that the plan does not have."""
    import numpy as np

    encoded = column.combine_chunks().dictionary_encode()
    found = encoded.dictionary.to_pylist()
    unknown = [value for value in found if value not in order]
    if unknown:
        message = f"the facts hold {unknown[0]!r}, which the experiment does not have"
        raise ValueError(message)
    places = np.array([order.index(value) for value in found], dtype=np.int64)
    return places[_numbers(encoded.indices, np.int32)]


def _fingerprint(tables: Sequence[pa.Table]) -> str:
    """SHA-256 over names and values in unit order: equal on every engine, whatever its chunks."""
    import pyarrow as pa

    digest = hashlib.sha256()
    for table in tables:
        for name, column in zip(table.column_names, table.columns, strict=True):
            digest.update(name.encode() + b"\0")
            is_text = pa.types.is_string(column.type)
            digest.update("\0".join(column.to_pylist()).encode() if is_text else _integers(column).tobytes())
    return digest.hexdigest()
