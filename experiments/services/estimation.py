"""From per-unit totals to comparisons: cells of phase × arm × day, pooled over phases, for every kind of metric.

Effects of several phases are pooled by post-stratification: within a phase the arms are random, so
each phase gives its own means, and phases are weighted by their share of the two arms' units
(docs/metrics.md, "Phases"). Pooling the units instead would be Simpson's paradox in the making.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from experiments.facts.expressions import PlannedMetric
from experiments.services.quantiles import QuantileCells, build_quantiles
from experiments.services.totals import MetricColumns, UnitTotals
from experiments.stats.aggregates import Aggregates, aggregate, choose_shift
from experiments.stats.capping import percentile_cap
from experiments.stats.cuped import adjust
from experiments.stats.estimates import Estimate, compare
from experiments.stats.exact import compare_by_regime
from experiments.stats.linear import Term
from experiments.stats.mean import mean_estimate
from experiments.stats.proportion import proportion_estimate
from experiments.stats.ratio import ratio_estimate
from experiments.stats.results import Comparison, Reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from experiments.stats.results import FloatArray

# A variance needs two units; a phase that has fewer in an arm cannot be compared.
FEWEST_UNITS: Final = 2
# Kinds whose number is 0 or 1 for each unit.
SHARES: Final = frozenset(("proportion", "retention", "funnel"))
RATIO: Final = ("y", "d")


@dataclass(frozen=True, slots=True)
class Cells:
    """Sufficient statistics by phase × arm × day on which the unit's window closed.

    The last two days are special: "closed since the last midnight" and "still open". Columns: `y` the number, `d` what
    a ratio divides it by, `x` and `dx` the same before the exposure. A quantile is no sum: its estimates are beside.
    """

    kind: str
    aggregates: Aggregates
    nonzero: FloatArray
    sums: NDArray[np.int64]
    has_covariate: bool
    cap: float | None = None
    quantiles: QuantileCells | None = None

    @property
    def covariate(self) -> Term:
        """What takes out variance: the number before the exposure, of a ratio the ratio before it."""
        return ("x", "dx") if "dx" in self.aggregates.columns else "x"

    def mature(self) -> Cells:
        """All units whose window has closed, without the axis of days."""
        closed = slice(0, -1)
        return replace(
            self,
            aggregates=self.aggregates[:, :, closed].total(axis=2),
            nonzero=self.nonzero[:, :, closed].sum(axis=2),
            sums=self.sums[:, :, closed].sum(axis=2),
            quantiles=None if self.quantiles is None else self.quantiles.mature(),
        )

    def cumulative(self) -> Cells:
        """Per ended day: all units whose window had closed by its end."""
        ended = slice(0, -2)
        return replace(
            self,
            aggregates=self.aggregates[:, :, ended].cumulative(axis=2),
            nonzero=self.nonzero[:, :, ended].cumsum(axis=2),
            sums=self.sums[:, :, ended].cumsum(axis=2),
            quantiles=None if self.quantiles is None else self.quantiles.by_day(),
        )

    def daily(self) -> Cells:
        """Per ended day: the units whose window closed on it."""
        ended = slice(0, -2)
        return replace(
            self,
            aggregates=self.aggregates[:, :, ended],
            nonzero=self.nonzero[:, :, ended],
            sums=self.sums[:, :, ended],
            quantiles=None,
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
    kind: str,
    shape: tuple[int, int],
    day_ends: list[int],
    until: int,
    is_capped: bool = True,
) -> Cells:
    """Aggregate one metric; `shape` counts phases and arms, `day_ends` are µs.

    A pooled cap is the percentile of everybody's number so far, zeros left out, the arms together: it is fixed by the
    units whose windows have closed.
    """
    ends = np.asarray(day_ends, dtype=np.int64)
    closes = totals.first_at + metric.closes_after
    day = np.searchsorted(ends, closes, side="left")
    day = np.where(closes <= until, day, ends.size + 1)
    groups = (totals.phase * shape[1] + totals.arm) * (ends.size + 2) + day
    full = (*shape, ends.size + 2)
    size = int(np.prod(full))
    data, cap = _columns(columns, metric, is_mature=closes <= until, is_capped=is_capped)
    quantiles = None
    if metric.definition.quantile is not None:
        quantiles = build_quantiles(
            values=data["y"], columns=columns, definition=metric.definition, groups=groups, full=full
        )
    flat = aggregate(data, groups=groups, n_groups=size, shift=[choose_shift(column) for column in data.values()])
    return Cells(
        kind=kind,
        aggregates=flat.reshape(full),
        nonzero=np.bincount(groups[columns.totals != 0], minlength=size).reshape(full).astype(np.float64),
        sums=_integer_sums(groups, columns.totals, size).reshape(full),
        has_covariate=columns.before is not None and bool(np.any(columns.before)),
        cap=cap,
        quantiles=quantiles,
    )


def metric_data(columns: MetricColumns, metric: PlannedMetric) -> dict[str, FloatArray]:
    """The columns of the aggregates where every window has closed, capped as the metric says."""
    everybody = np.ones(columns.totals.size, dtype=np.bool_)
    return _columns(columns, metric, is_mature=everybody, is_capped=True)[0]


def _columns(
    columns: MetricColumns, metric: PlannedMetric, *, is_mature: NDArray[np.bool_], is_capped: bool
) -> tuple[dict[str, FloatArray], float | None]:
    """The columns of the aggregates in the metric's own units, and the cap in force."""
    definition = metric.definition
    data = {"y": columns.totals / definition.scale}
    cap = definition.cap
    if definition.cap_percentile is not None:
        pool = data["y"][is_mature & (columns.totals != 0)]
        cap = percentile_cap(pool, upper=definition.cap_percentile).upper if pool.size else None
    cap = cap if is_capped else None
    if cap is not None:
        data["y"] = np.minimum(data["y"], cap)
    if columns.per is not None:
        data["d"] = columns.per / definition.denominator_scale
    if columns.before is not None:
        data["x"] = columns.before / definition.scale
    if columns.per_before is not None:
        data["dx"] = columns.per_before / definition.denominator_scale
    return data, cap


def _integer_sums(groups: NDArray[np.int64], values: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Exact sums by group."""
    sums = np.zeros(size, dtype=np.int64)
    np.add.at(sums, groups, values)
    return sums


def compare_arms(cells: Cells, *, control: int, arm: int, alpha: float, use_exact: bool = False) -> Comparison:
    """One arm against control, pooled over phases; the shape is what follows phase and arm.

    With `use_exact`, proportions with fewer than 25 events in an arm of a single phase get the exact
    regime's test and score intervals (`stats.exact`): Wald's are wrong there.
    """
    c, t = cells.aggregates[:, control], cells.aggregates[:, arm]
    if use_exact and cells.kind in SHARES and c.shape[0] == 1:
        return compare_by_regime(_successes(c)[0], c.count[0], _successes(t)[0], t.count[0], alpha=alpha).comparison
    units = _units(c, t)
    pair = _pool(_estimate(cells, control), units), _pool(_estimate(cells, arm), units)
    method = "quantile" if cells.kind == "quantile" else "wald" if cells.kind in SHARES else "welch"
    return compare(*pair, alpha=alpha, method=method)


def compare_adjusted_arms(cells: Cells, *, control: int, arm: int, alpha: float) -> AdjustedArms:
    """The same with the covariate's share taken out (CUPED in each phase), and what that saved."""
    c, t = cells.aggregates[:, control], cells.aggregates[:, arm]
    units = _units(c, t)
    outcome: Term = RATIO if cells.kind == "ratio" else "y"
    found = adjust(c, t, outcome=outcome, covariates=(cells.covariate,))
    pair = _pool(found.control, units), _pool(found.treatment, units)
    plain = _pool(found.plain_control, units).variance + _pool(found.plain_treatment, units).variance
    with np.errstate(divide="ignore", invalid="ignore"):
        saved = np.where(plain > 0, 1 - (pair[0].variance + pair[1].variance) / plain, np.nan)
    return AdjustedArms(comparison=compare(*pair, alpha=alpha, method="cuped"), variance_saved=saved)


def value_of_arm(cells: Cells, arm: int) -> float | None:
    """An arm's own number over all phases together; `None` where there is none."""
    if cells.quantiles is not None:
        value = float(cells.quantiles.value_of_arm(arm))
    else:
        together = cells.aggregates.total(axis=0)[arm]
        term = ratio_estimate(together, *RATIO).value if cells.kind == "ratio" else together.mean("y")
        value = float(term)
    return value if np.isfinite(value) else None


def _units(control: Aggregates, treatment: Aggregates) -> FloatArray:
    """Units of both arms in each phase that can be compared."""
    usable = (control.count >= FEWEST_UNITS) & (treatment.count >= FEWEST_UNITS)
    return np.where(usable, control.count + treatment.count, 0.0)


def _estimate(cells: Cells, arm: int) -> Estimate:
    """One arm's estimate in each phase."""
    mine = cells.aggregates[:, arm]
    if cells.quantiles is not None:
        return cells.quantiles.estimate_of(arm)
    if cells.kind == "ratio":
        return ratio_estimate(mine, *RATIO)
    if cells.kind in SHARES:
        return proportion_estimate(_successes(mine), mine.count)
    return mean_estimate(mine, "y")


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
    # A phase whose own estimate is undefined (a quantile of few, a ratio over nothing) leaves no pooled one.
    reasons = np.where(used, np.broadcast_to(estimate.reasons, used.shape), np.int8(0)).max(axis=0)
    return Estimate(
        deviation=np.where(used, weights * estimate.deviation, 0.0).sum(axis=0),
        variance=variance.sum(axis=0),
        df=np.where(np.isnan(df), np.inf, df),
        origin=np.broadcast_to(estimate.origin, estimate.deviation.shape)[0],
        reasons=np.where(total > 0, reasons, np.int8(Reason.TOO_FEW_UNITS)).astype(np.int8),
    )


def _only_phase(estimate: Estimate) -> Estimate:
    """One phase needs no weights, and keeps its exact degrees of freedom."""
    reasons = np.broadcast_to(estimate.reasons, estimate.deviation.shape)
    origin = np.broadcast_to(estimate.origin, estimate.deviation.shape)
    return Estimate(estimate.deviation[0], estimate.variance[0], estimate.df[0], origin[0], reasons[0])
