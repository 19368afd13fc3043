"""The primary metric by groups of people as they stood at their first exposure: one test first, then the groups.

Groups are explored, not planned for: whether the effect differs at all is one p-value (Cochran's Q), those of the
groups are adjusted together (Benjamini–Hochberg over all dimensions and arms), and small groups are not shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from experiments.facts.dimensions import Dimension, values_at_exposure
from experiments.ports import Facts
from experiments.reports import Bounds, Breakdown, SegmentEffect
from experiments.services.analysis_run import Run
from experiments.services.estimation import build_cells, compare_adjusted_arms, compare_arms
from experiments.services.metric_reports import Measured
from experiments.services.totals import EventValues, MetricColumns, UnitTotals
from experiments.stats.heterogeneity import segment_effects

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from experiments.stats.results import Comparison

# Of a dimension with many values, the largest groups; the rest would be too small to show anyway.
MOST_GROUPS: Final = 20


@dataclass(frozen=True, slots=True)
class _Group:
    """One group of one arm before the adjustment."""

    value: str
    n_control: int
    n_arm: int
    found: Comparison


def break_down(run: Run, measured: Measured, index: int, *, facts: Facts) -> tuple[Breakdown, ...]:
    """The metric `index` by each dimension of the plan that has at least two groups to show."""
    if not run.totals.units_n:
        return ()
    breakdowns = []
    for dimension in run.plan.dimensions:
        values = _values(run, facts, dimension)
        for arm in run.treatments:
            groups = _groups(run, measured, index, arm=arm, values=values)
            breakdown = _breakdown(run, dimension, arm, groups)
            if len(breakdown.segments) > 1:
                breakdowns.append(breakdown)
    return _adjusted(breakdowns)


def benjamini_hochberg(p_values: Sequence[float | None]) -> list[float | None]:
    """Step-up adjusted p-values; an undefined one stays in the family as if it were 1.

    Source: Benjamini & Hochberg, JRSS B 57 (1995). `stats.multiplicity` has it too, on top of statsmodels, which would
    cost each worker three seconds and 100 MB.
    """
    known = [1.0 if p_value is None else p_value for p_value in p_values]
    adjusted: list[float | None] = [None] * len(known)
    running = 1.0
    for place, index in enumerate(sorted(range(len(known)), key=known.__getitem__, reverse=True)):
        running = min(running, known[index] * len(known) / (len(known) - place))
        adjusted[index] = None if p_values[index] is None else running
    return adjusted


def _values(run: Run, facts: Facts, dimension: Dimension) -> NDArray[np.str_]:
    """The value of each unit of the totals; the default where nothing was known at the exposure."""
    import pyarrow.compute as pc

    table = facts.execute(values_at_exposure(facts, dimension, experiment_key=run.experiment.key, until=run.until))
    # Not `fill_null`: pyarrow's scalars import pandas, which would cost each process 30 MB.
    places = pc.index_in(run.totals.units, value_set=table.column("unit")).to_pylist()
    known = table.column("value").to_pylist()
    values = [dimension.default if place is None else known[place] for place in places]
    # Frozen units come last and belong to no group: nothing is kept of erased people but their numbers.
    return np.array([*values, *[""] * (run.totals.units_n - len(values))], dtype=np.str_)


def _groups(run: Run, measured: Measured, index: int, *, arm: int, values: NDArray[np.str_]) -> list[_Group]:
    names, counts = np.unique(values[values != ""], return_counts=True)
    largest = names[np.argsort(-counts, kind="stable")[:MOST_GROUPS]]
    return [
        _group(run, measured, index, arm=arm, value=str(value), chosen=values == value) for value in sorted(largest)
    ]


def _group(run: Run, measured: Measured, index: int, *, arm: int, value: str, chosen: NDArray[np.bool_]) -> _Group:
    cells = build_cells(
        totals=_subset(run.totals, chosen),
        columns=_subset_columns(run.totals.metrics[index], chosen),
        metric=replace(
            run.metrics[index],
            # A pooled cap stays that of everybody: groups are compared on one scale.
            definition=replace(run.metrics[index].definition, cap=measured.cells.cap, cap_percentile=None),
        ),
        kind=measured.cells.kind,
        shape=run.shape,
        day_ends=[],
        until=run.until,
    ).mature()
    counts = cells.aggregates.count.sum(axis=0)
    pair: dict[str, Any] = {"control": run.control, "arm": arm, "alpha": run.experiment.alpha}
    found = (
        compare_adjusted_arms(cells, **pair).comparison
        if measured.is_adjusted and cells.has_covariate
        else compare_arms(cells, **pair)
    )
    return _Group(value=value, n_control=int(counts[run.control]), n_arm=int(counts[arm]), found=found)


def _breakdown(run: Run, dimension: Dimension, arm: int, groups: Sequence[_Group]) -> Breakdown:
    is_relative = run.plan.scale == "relative"
    effects = [float(one.found.log_ratio if is_relative else one.found.effect) for one in groups]
    errors = [float(one.found.log_ratio_standard_error if is_relative else one.found.standard_error) for one in groups]
    level = 1 - run.experiment.alpha
    told = segment_effects(
        effects, errors, [one.n_control for one in groups], [one.n_arm for one in groups], level=level
    )
    segments = []
    for place, one in enumerate(groups):
        if not told.shown[place]:
            continue
        result = one.found.at()
        interval = result.lift_ci
        shrunk = float(np.expm1(told.shrunk[place])) if is_relative else None
        segments.append(
            SegmentEffect(
                value=one.value,
                n_control=one.n_control,
                n_arm=one.n_arm,
                lift=result.lift,
                lift_ci=None if interval is None else Bounds(interval.lower, interval.upper, interval.level),
                p_value=result.lift_p_value if is_relative else result.p_value,
                p_adjusted=None,
                shrunk=shrunk,
            )
        )
    return Breakdown(
        dimension=dimension.name,
        arm=run.arms[arm].key,
        interaction_p_value=told.interaction_p_value,
        segments=tuple(segments),
        hidden_n=len(groups) - len(segments),
    )


def _adjusted(breakdowns: Sequence[Breakdown]) -> tuple[Breakdown, ...]:
    """The same with p-values adjusted over every group that is shown."""
    family = iter(benjamini_hochberg([one.p_value for breakdown in breakdowns for one in breakdown.segments]))
    return tuple(
        replace(breakdown, segments=tuple(replace(one, p_adjusted=next(family)) for one in breakdown.segments))
        for breakdown in breakdowns
    )


def _subset(totals: UnitTotals, chosen: NDArray[np.bool_]) -> UnitTotals:
    return replace(totals, arm=totals.arm[chosen], phase=totals.phase[chosen], first_at=totals.first_at[chosen])


def _subset_columns(columns: MetricColumns, chosen: NDArray[np.bool_]) -> MetricColumns:
    def pick(numbers: NDArray[np.int64] | None) -> NDArray[np.int64] | None:
        return None if numbers is None else numbers[chosen]

    events = columns.events
    if events is not None:
        is_in = chosen[events.unit]
        places = np.cumsum(chosen) - 1
        events = EventValues(unit=places[events.unit[is_in]], values=events.values[is_in])
    return MetricColumns(
        totals=columns.totals[chosen],
        before=pick(columns.before),
        per=pick(columns.per),
        per_before=pick(columns.per_before),
        events=events,
    )
