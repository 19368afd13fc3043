"""The effect by days since first exposure: novelty wears off, habits grow, and a long run tells what stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from experiments.facts.ages import days_of, has_ages, numbers_by_age
from experiments.facts.expressions import DAY
from experiments.ports import Facts
from experiments.reports import AgeEffect, Novelty
from experiments.services.analysis_run import Run
from experiments.services.estimation import SHARES, Cells, compare_arms
from experiments.stats.aggregates import from_sums
from experiments.stats.validity import novelty_test

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from experiments.stats.results import FloatArray

FEWEST_DAYS = 3
"""A trend needs three points."""


def novelty_by_arm(run: Run, index: int, *, facts: Facts) -> dict[str, Novelty]:
    """For each treatment of the metric `index`; empty where it has no value for a single day."""
    metric = run.metrics[index]
    ages_n = days_of(metric)
    if not has_ages(metric) or ages_n < FEWEST_DAYS or not run.totals.units_n:
        return {}
    table = facts.execute(numbers_by_age(facts, experiment_key=run.experiment.key, metric=metric, until=run.until))
    cells = _cells(run, index, table.to_pylist(), ages_n)
    counts = cells.aggregates.count.sum(axis=0)
    return {run.arms[arm].key: _novelty(run, cells, counts, arm) for arm in run.treatments}


def _cells(run: Run, index: int, rows: list[dict[str, int | str]], ages_n: int) -> Cells:
    """Sums and squares by phase × arm × age over everybody who has lived through the day."""
    metric = run.metrics[index]
    lived = _lived_through(run, ages_n)
    arms = {arm.key: place for place, arm in enumerate(run.arms)}
    phases = {number: place for place, number in enumerate(run.phases)}
    sums, squares, nonzero = (np.zeros(lived.shape) for _ in range(3))
    for row in rows:
        place = phases[int(row["phase"])], arms[str(row["arm"])], int(row["age"])
        number, units_n = int(row["number"]) / metric.definition.scale, int(row["units_n"])
        if metric.definition.cap is not None:
            number = min(number, metric.definition.cap)
        sums[place] += units_n * number
        squares[place] += units_n * number**2
        nonzero[place] += units_n
    aggregates = from_sums(["y"], count=lived, sums=[sums], products={("y", "y"): squares})
    kind = run.uses[index].metric.kind
    # The first day of a share is a share; what later days add is one as well, of those who come again.
    return Cells(
        kind="proportion" if kind in SHARES else "mean",
        aggregates=aggregates,
        nonzero=nonzero,
        sums=np.zeros(lived.shape, dtype=np.int64),
        has_covariate=False,
    )


def _lived_through(run: Run, ages_n: int) -> FloatArray:
    """Units by phase × arm × age whose day of that age has ended; frozen people have no single days."""
    known = 0 if run.totals.units is None else len(run.totals.units)
    ages: NDArray[np.int64] = np.minimum((run.until - run.totals.first_at[:known]) // DAY, ages_n)
    shape = (*run.shape, ages_n + 1)
    cells = (run.totals.phase[:known] * run.shape[1] + run.totals.arm[:known]) * (ages_n + 1) + ages
    reached = np.bincount(cells, minlength=int(np.prod(shape))).reshape(shape)
    # Who has lived for k whole days has lived through the days 0 … k − 1.
    through = reached[..., ::-1].cumsum(axis=-1)[..., ::-1]
    return through[..., 1:].astype(np.float64)


def _novelty(run: Run, cells: Cells, counts: FloatArray, arm: int) -> Novelty:
    found = compare_arms(cells, control=run.control, arm=arm, alpha=run.experiment.alpha)
    ages = tuple(
        AgeEffect(
            age=age,
            n_control=int(counts[run.control, age]),
            n_arm=int(counts[arm, age]),
            effect=_number(found.effect[age]),
            lower=_number(found.effect_ci.lower[age]),
            upper=_number(found.effect_ci.upper[age]),
        )
        for age in range(counts.shape[-1])
        if counts[run.control, age] and counts[arm, age]
    )
    usable = np.isfinite(found.effect) & np.isfinite(found.standard_error) & (found.standard_error > 0)
    if int(usable.sum()) < FEWEST_DAYS:
        return Novelty(trend="unknown", p_value=None, ages=ages)
    days = np.flatnonzero(usable)
    told = novelty_test(found.effect[usable], found.standard_error[usable], days, alpha=run.experiment.alpha)
    return Novelty(trend=told.trend.value, p_value=told.p_value, ages=ages)


def _number(value: float) -> float | None:
    number = float(value)
    return number if np.isfinite(number) else None
