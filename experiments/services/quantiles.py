"""Quantiles by phase, arm and day: no sum makes them, so each is taken from the values themselves.

With several values per unit (events), units are clusters: their values are not independent (`stats.quantile`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from experiments.definitions import MetricDefinition
from experiments.services.totals import MetricColumns
from experiments.stats.estimates import Estimate
from experiments.stats.quantile import QuantileSummary, quantile_estimate, summarize
from experiments.stats.rows import quantile_summary

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from experiments.stats.results import FloatArray


@dataclass(frozen=True, slots=True)
class QuantileCells:
    """Values with the cell of their unit (phase × arm × day, the day last), and the estimates made from them."""

    values: FloatArray
    units: NDArray[np.int64]
    cells: NDArray[np.int64]
    full: tuple[int, ...]
    quantile: float
    has_clusters: bool
    estimate: Estimate | None = None

    def mature(self) -> QuantileCells:
        """One estimate for each phase and arm, over all closed windows."""
        days_n = self.full[-1]
        is_closed = self.cells % days_n < days_n - 1
        cells = [self._summary(is_closed & (self.cells // days_n == group)) for group in range(self._groups_n)]
        return replace(self, estimate=self._stacked(cells, self.full[:-1]))

    def by_day(self) -> QuantileCells:
        """One estimate for each phase, arm and ended day, over the windows that had closed by its end."""
        days_n = self.full[-1]
        ended_n = days_n - 2
        day = self.cells % days_n
        cells = [
            self._summary((self.cells // days_n == group) & (day <= last))
            for group in range(self._groups_n)
            for last in range(ended_n)
        ]
        return replace(self, estimate=self._stacked(cells, (*self.full[:-1], ended_n)))

    def estimate_of(self, arm: int) -> Estimate:
        """The estimates of one arm in each phase."""
        assert self.estimate is not None
        mine = self.estimate
        reasons = np.broadcast_to(mine.reasons, mine.deviation.shape)
        return Estimate(
            mine.deviation[:, arm], mine.variance[:, arm], mine.df[:, arm], origin=np.zeros(()), reasons=reasons[:, arm]
        )

    def value_of_arm(self, arm: int) -> float:
        """The quantile of one arm over all phases and closed windows; NaN without values."""
        days_n, arms_n = self.full[-1], self.full[1]
        chosen = self.values[(self.cells // days_n % arms_n == arm) & (self.cells % days_n < days_n - 1)]
        return float(np.quantile(chosen, self.quantile)) if chosen.size else float("nan")

    @property
    def _groups_n(self) -> int:
        return int(np.prod(self.full[:-1]))

    def _summary(self, chosen: NDArray[np.bool_]) -> QuantileSummary:
        values = self.values[chosen]
        if not values.size:
            return summarize(np.nan, np.nan, np.nan, 0, quantile=self.quantile)
        clusters = self.units[chosen] if self.has_clusters else None
        return quantile_summary(values, quantile=self.quantile, clusters=clusters)

    def _stacked(self, cells: list[QuantileSummary], shape: tuple[int, ...]) -> Estimate:
        columns = (
            np.array([getattr(cell, name) for cell in cells], dtype=np.float64).reshape(shape)
            for name in ("value", "lower", "upper", "n", "n_star", "cluster_factor")
        )
        value, lower, upper, n, n_star, factor = columns
        return quantile_estimate(QuantileSummary(value, lower, upper, n, n_star, factor, quantile=self.quantile))


def build_quantiles(
    *,
    values: FloatArray,
    columns: MetricColumns,
    definition: MetricDefinition,
    groups: NDArray[np.int64],
    full: tuple[int, ...],
) -> QuantileCells:
    """The values of a quantile metric: one for each unit, or of each event where the definition says so."""
    assert definition.quantile is not None
    if columns.events is None:
        units = np.arange(values.size, dtype=np.int64)
        return QuantileCells(values, units, groups, full, definition.quantile, has_clusters=False)
    units = columns.events.unit
    numbers = columns.events.values / definition.scale
    return QuantileCells(numbers, units, groups[units], full, definition.quantile, has_clusters=True)
