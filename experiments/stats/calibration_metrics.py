"""Calibration of every metric type at a fixed horizon, on simulated units.

Each type draws many small experiments as per-unit values, turns them into aggregates as the product
does, and compares them with its own function: without effect the p-values must be uniform, with one
the interval must cover it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from experiments.stats.aggregates import Aggregates, from_sums
from experiments.stats.calibration_tables import EXACT_SLACK, Row, mark, monte_carlo_error, percent
from experiments.stats.count import compare_counts
from experiments.stats.cuped import compare_adjusted
from experiments.stats.mean import compare_means
from experiments.stats.proportion import compare_proportion_aggregates
from experiments.stats.quantile import compare_quantiles
from experiments.stats.ratio import compare_ratios
from experiments.stats.regression import compare_interacted
from experiments.stats.results import BoolArray, Comparison, FloatArray
from experiments.stats.rows import quantile_summary

UNITS_PER_ARM = 500
RUNS_AT_ONCE = 500
# Quantiles need the values of single units, one experiment at a time.
MOST_QUANTILE_RUNS = 4_000
LEVELS = (0.01, 0.05, 0.1)
TOLERANCE, COVERAGE_TOLERANCE = 0.005, 0.01
# Kolmogorov–Smirnov tests of uniformity at this level fail one healthy type in a thousand.
UNIFORMITY = 0.001

Columns = dict[str, FloatArray]


@dataclass(frozen=True, slots=True)
class MetricType:
    """How units are drawn (a treated arm carries the effect) and how two arms are compared."""

    draw: Callable[[np.random.Generator, tuple[int, int], float], Columns]
    compare: Callable[[Aggregates, Aggregates], Comparison]
    effect: float
    is_continuous: bool = True  # otherwise so few outcomes that p-values cannot be uniform


def _mean(rng: np.random.Generator, size: tuple[int, int], effect: float) -> Columns:
    return {"y": rng.gamma(2.0, 1.0, size) + effect}


def _proportion(rng: np.random.Generator, size: tuple[int, int], effect: float) -> Columns:
    return {"y": (rng.random(size) < 0.3 + effect).astype(np.float64)}


def _count(rng: np.random.Generator, size: tuple[int, int], effect: float) -> Columns:
    """Overdispersed: everybody has a rate of their own."""
    return {"y": rng.poisson(rng.gamma(1.5, (1.0 + effect) / 1.5, size)).astype(np.float64)}


def _ratio(rng: np.random.Generator, size: tuple[int, int], effect: float) -> Columns:
    """Clicks over page views, with a click rate of their own per person."""
    views = 1 + rng.poisson(4.0, size)
    clicks = rng.binomial(views, rng.beta(2.0, 6.0, size))
    return {"m": clicks + effect * views, "d": views.astype(np.float64)}


def _with_covariate(rng: np.random.Generator, size: tuple[int, int], effect: float) -> Columns:
    before = rng.gamma(2.0, 1.0, size)
    return {"y": 2.0 + 0.8 * before + rng.normal(0.0, 0.7, size) + effect, "x": before}


METRIC_TYPES: dict[str, MetricType] = {
    "mean": MetricType(_mean, compare_means, 0.2),
    "proportion": MetricType(_proportion, compare_proportion_aggregates, 0.05, is_continuous=False),
    "count": MetricType(_count, compare_counts, 0.2),
    "ratio": MetricType(_ratio, compare_ratios, 0.02),
    "mean, CUPED": MetricType(_with_covariate, lambda c, t: compare_adjusted(c, t).adjusted, 0.1),
    "mean, Lin's regression": MetricType(_with_covariate, lambda c, t: compare_interacted(c, t).adjusted, 0.1),
}


@dataclass(frozen=True, slots=True)
class FixedHorizon:
    """One metric type: levels and uniformity without an effect, coverage with one."""

    metric: str
    runs: int
    seed: int

    @property
    def label(self) -> str:
        """For the progress bar."""
        return f"metric type: {self.metric}"

    def run(self) -> list[Row]:
        """One row of the table "types"."""
        kind = METRIC_TYPES[self.metric]
        rng = np.random.default_rng(self.seed)
        p_values, covered = [], []
        for start in range(0, self.runs, RUNS_AT_ONCE):
            size = (min(RUNS_AT_ONCE, self.runs - start), UNITS_PER_ARM)
            control = _aggregates(kind.draw(rng, size, 0.0))
            p_values.append(kind.compare(control, _aggregates(kind.draw(rng, size, 0.0))).p_value)
            shifted = kind.compare(control, _aggregates(kind.draw(rng, size, kind.effect)))
            covered.append(shifted.effect_ci.contains(kind.effect))
        return [_row(self.metric, np.concatenate(p_values), np.concatenate(covered), uniform=kind.is_continuous)]


@dataclass(frozen=True, slots=True)
class FixedQuantile:
    """The same for a quantile per unit and per event with clusters."""

    quantile: float
    is_clustered: bool
    runs: int
    seed: int

    @property
    def label(self) -> str:
        """For the progress bar."""
        return f"metric type: {self.name}"

    @property
    def name(self) -> str:
        """The metric in words."""
        return f"{100 * self.quantile:.0f}th percentile per {'event, clustered' if self.is_clustered else 'unit'}"

    def run(self) -> list[Row]:
        """One row of the table "types"."""
        rng = np.random.default_rng(self.seed)
        effect = 0.3
        p_values, covered = [], []
        for _ in range(min(self.runs, MOST_QUANTILE_RUNS)):
            control = self._values(rng)
            p_values.append(float(self._compare(control, self._values(rng)).p_value))
            shifted = self._values(rng)
            covered.append(bool(self._compare(control, (shifted[0] + effect, shifted[1])).effect_ci.contains(effect)))
        # The error of a quantile is a noisy distance of order statistics: uniform only in the limit.
        return [_row(self.name, np.array(p_values), np.array(covered), uniform=False)]

    def _values(self, rng: np.random.Generator) -> tuple[FloatArray, FloatArray | None]:
        if not self.is_clustered:
            return rng.gamma(2.0, 1.0, UNITS_PER_ARM), None
        events = 1 + rng.poisson(3.0, UNITS_PER_ARM)
        unit = np.repeat(np.arange(UNITS_PER_ARM), events)
        return rng.gamma(2.0, 1.0, UNITS_PER_ARM)[unit] + rng.gamma(1.0, 1.0, unit.size), unit.astype(np.float64)

    def _compare(
        self, control: tuple[FloatArray, FloatArray | None], treatment: tuple[FloatArray, FloatArray | None]
    ) -> Comparison:
        arms = [
            quantile_summary(values, quantile=self.quantile, clusters=None if unit is None else unit.astype(np.int64))
            for values, unit in (control, treatment)
        ]
        return compare_quantiles(arms[0], arms[1])


def _aggregates(columns: Columns) -> Aggregates:
    names = list(columns)
    return from_sums(
        names,
        count=UNITS_PER_ARM,
        sums=[column.sum(axis=1) for column in columns.values()],
        products={(a, b): (columns[a] * columns[b]).sum(axis=1) for i, a in enumerate(names) for b in names[i:]},
    )


def _row(name: str, p_values: FloatArray, covered: BoolArray, *, uniform: bool) -> Row:
    """`uniform`: whether uniformity of the p-values is a criterion or only reported."""
    from scipy import stats

    runs = p_values.size
    levels = [float((p_values < level).mean()) for level in LEVELS]
    fit, coverage = float(stats.kstest(p_values, "uniform").pvalue), float(covered.mean())
    slack = EXACT_SLACK * monte_carlo_error(0.05, runs)
    holds = (
        abs(levels[1] - 0.05) <= TOLERANCE + slack
        and abs(coverage - 0.95) <= COVERAGE_TOLERANCE + slack
        and (fit > UNIFORMITY or not uniform)
    )
    shown = f"{fit:.3f}" if uniform else f"({fit:.3f})"
    return Row("types", (name, f"{runs:,}", *map(percent, levels), shown, percent(coverage), mark(holds)), holds)
