"""From per-unit totals to comparisons: cells of phase × arm × day, pooled over phases.

Effects of several phases are pooled by post-stratification: within a phase the arms are random, so
each phase gives its own means, and phases are weighted by their share of the two arms' units
(docs/metrics.md, "Phases"). Pooling the units instead would be Simpson's paradox in the making.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from experiments.facts.expressions import PlannedMetric
from experiments.services.totals import MetricColumns, UnitTotals
from experiments.stats.aggregates import Aggregates, aggregate, choose_shift
from experiments.stats.cuped import adjust
from experiments.stats.estimates import Estimate, compare
from experiments.stats.exact import compare_by_regime
from experiments.stats.mean import mean_estimate
from experiments.stats.proportion import proportion_estimate
from experiments.stats.results import Comparison, Reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from experiments.stats.results import FloatArray

# A variance needs two units; a phase that has fewer in an arm cannot be compared.
FEWEST_UNITS: Final = 2


@dataclass(frozen=True, slots=True)
class Cells:
    """Sufficient statistics by phase × arm × day on which the unit's window closed.

    The last two days are special: "closed since the last midnight" and "still open".
    """

    aggregates: Aggregates
    nonzero: FloatArray
    sums: NDArray[np.int64]
    has_covariate: bool

    def mature(self) -> Cells:
        """All units whose window has closed, without the axis of days."""
        closed = slice(0, -1)
        return Cells(
            aggregates=self.aggregates[:, :, closed].total(axis=2),
            nonzero=self.nonzero[:, :, closed].sum(axis=2),
            sums=self.sums[:, :, closed].sum(axis=2),
            has_covariate=self.has_covariate,
        )

    def cumulative(self) -> Cells:
        """Per ended day: all units whose window had closed by its end."""
        ended = slice(0, -2)
        cells = self.aggregates[:, :, ended]
        return Cells(
            aggregates=replace(
                cells,
                count=cells.count.cumsum(axis=2),
                weight=cells.weight.cumsum(axis=2),
                weight_squares=cells.weight_squares.cumsum(axis=2),
                sums=cells.sums.cumsum(axis=2),
                products=cells.products.cumsum(axis=2),
            ),
            nonzero=self.nonzero[:, :, ended].cumsum(axis=2),
            sums=self.sums[:, :, ended].cumsum(axis=2),
            has_covariate=self.has_covariate,
        )


@dataclass(frozen=True, slots=True)
class AdjustedArms:
    """A comparison of adjusted means, and 1 − adjusted / plain variance of the effect."""

    comparison: Comparison
    variance_saved: FloatArray


def build_cells(
    *,
    totals: UnitTotals,
    columns: MetricColumns,
    metric: PlannedMetric,
    shape: tuple[int, int],
    day_ends: list[int],
    until: int,
) -> Cells:
    """Aggregate one metric; `shape` counts phases and arms, `day_ends` are µs."""
    ends = np.asarray(day_ends, dtype=np.int64)
    closes = totals.first_at + metric.closes_after
    day = np.searchsorted(ends, closes, side="left")
    day = np.where(closes <= until, day, ends.size + 1)
    days_n = ends.size + 2
    groups = (totals.phase * shape[1] + totals.arm) * days_n + day
    full = (*shape, days_n)
    size = int(np.prod(full))
    values = columns.totals / metric.definition.scale
    if metric.definition.cap is not None:
        values = np.minimum(values, metric.definition.cap)
    data = {"y": values}
    if columns.before is not None:
        data["x"] = columns.before / metric.definition.scale
    flat = aggregate(data, groups=groups, n_groups=size, shift=[choose_shift(column) for column in data.values()])
    k = len(data)
    return Cells(
        aggregates=Aggregates(
            columns=flat.columns,
            shift=flat.shift,
            count=flat.count.reshape(full),
            weight=flat.weight.reshape(full),
            weight_squares=flat.weight_squares.reshape(full),
            sums=flat.sums.reshape(*full, k),
            products=flat.products.reshape(*full, k, k),
        ),
        nonzero=np.bincount(groups[columns.totals != 0], minlength=size).reshape(full).astype(np.float64),
        sums=_integer_sums(groups, columns.totals, size).reshape(full),
        has_covariate=columns.before is not None and bool(np.any(columns.before)),
    )


def _integer_sums(groups: NDArray[np.int64], values: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Exact sums by group."""
    sums = np.zeros(size, dtype=np.int64)
    np.add.at(sums, groups, values)
    return sums


def compare_arms(
    cells: Cells, *, control: int, arm: int, kind: str, alpha: float, use_exact: bool = False
) -> Comparison:
    """One arm against control, pooled over phases; the shape is what follows phase and arm.

    With `use_exact`, proportions with fewer than 25 events in an arm of a single phase get the exact
    regime's test and score intervals (`stats.exact`): Wald's are wrong there.
    """
    c, t = cells.aggregates[:, control], cells.aggregates[:, arm]
    if use_exact and kind == "proportion" and c.shape[0] == 1:
        return compare_by_regime(_successes(c)[0], c.count[0], _successes(t)[0], t.count[0], alpha=alpha).comparison
    units = _units(c, t)
    pair = _pool(_estimate(c, kind), units), _pool(_estimate(t, kind), units)
    return compare(*pair, alpha=alpha, method="wald" if kind == "proportion" else "welch")


def compare_adjusted_arms(cells: Cells, *, control: int, arm: int, alpha: float) -> AdjustedArms:
    """The same with the covariate's share taken out (CUPED in each phase), and what that saved."""
    c, t = cells.aggregates[:, control], cells.aggregates[:, arm]
    units = _units(c, t)
    found = adjust(c, t, outcome="y", covariates=("x",))
    pair = _pool(found.control, units), _pool(found.treatment, units)
    plain = _pool(found.plain_control, units).variance + _pool(found.plain_treatment, units).variance
    with np.errstate(divide="ignore", invalid="ignore"):
        saved = np.where(plain > 0, 1 - (pair[0].variance + pair[1].variance) / plain, np.nan)
    return AdjustedArms(comparison=compare(*pair, alpha=alpha, method="cuped"), variance_saved=saved)


def _units(control: Aggregates, treatment: Aggregates) -> FloatArray:
    """Units of both arms in each phase that can be compared."""
    usable = (control.count >= FEWEST_UNITS) & (treatment.count >= FEWEST_UNITS)
    return np.where(usable, control.count + treatment.count, 0.0)


def _estimate(cells: Aggregates, kind: str) -> Estimate:
    if kind != "proportion":
        return mean_estimate(cells, "y")
    return proportion_estimate(_successes(cells), cells.count)


def _successes(cells: Aggregates) -> FloatArray:
    return np.where(cells.count > 0, np.rint(cells.mean("y") * cells.count), 0.0)


def _pool(estimate: Estimate, units: FloatArray) -> Estimate:
    """Σ w·mean over phases with w = share of units, variance Σ w²·variance (axis 0).

    Degrees of freedom by Satterthwaite. Source: Miratrix, Sekhon & Yu, JRSS B 75 (2013), section 2.
    """
    if units.shape[0] == 1:
        return _only_phase(estimate)
    total = units.sum(axis=0)
    weights = np.divide(units, total, out=np.zeros_like(units), where=total > 0)
    used = weights > 0
    variance = np.where(used, weights**2 * estimate.variance, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        df = variance.sum(axis=0) ** 2 / np.where(used, variance**2 / estimate.df, 0.0).sum(axis=0)
    return Estimate(
        deviation=np.where(used, weights * estimate.deviation, 0.0).sum(axis=0),
        variance=variance.sum(axis=0),
        df=np.where(np.isnan(df), np.inf, df),
        origin=np.broadcast_to(estimate.origin, estimate.deviation.shape)[0],
        reasons=np.where(total > 0, np.int8(0), np.int8(Reason.TOO_FEW_UNITS)),
    )


def _only_phase(estimate: Estimate) -> Estimate:
    """One phase needs no weights, and keeps its exact degrees of freedom."""
    reasons = np.broadcast_to(estimate.reasons, estimate.deviation.shape)
    origin = np.broadcast_to(estimate.origin, estimate.deviation.shape)
    return Estimate(estimate.deviation[0], estimate.variance[0], estimate.df[0], origin[0], reasons[0])
